"""The servers of these tests: started once for a file that asks for them."""

from collections.abc import Iterator

import pytest

from tests.security.site import Site, site_in


@pytest.fixture(scope="module")
def site(kafka_jars: None, postgres_with_tls: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start Apache Kafka and PostgreSQL with TLS, logins and the documented rights."""
    with site_in(tmp_path_factory.mktemp("site")) as made:
        yield made
