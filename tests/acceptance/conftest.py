"""Fixtures of the acceptance tests: deployments on Apache Kafka and PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.deployment import Deployment
from tests.servers.kafka import KafkaCluster


@pytest.fixture
def deployment(kafka_cluster: KafkaCluster, migrated_database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    """Set up topics and a database, without any worker yet."""
    with Deployment(kafka_cluster, migrated_database_url, tmp_path) as made:
        yield made
