"""A database's address is shown without what is secret in it."""

import pytest

from worker.terminal.addresses import masked_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:secret@host:5432/db", "postgresql://u:***@host:5432/db"),
        ("postgresql://u:secret@host/db?sslmode=require", "postgresql://u:***@host/db?sslmode=require"),
        ("postgresql://u@host/db?password=secret", "postgresql://u@host/db?password=***"),
        (
            "postgresql://u@host/db?sslpassword=secret&sslcert=/a/b",
            "postgresql://u@host/db?sslpassword=***&sslcert=/a/b",
        ),
        ("postgresql://host/db", "postgresql://host/db"),
        ("postgresql://host-1:5432,host-2:5433/db", "postgresql://host-1:5432,host-2:5433/db"),
        ("postgresql://[::1]:5432/db", "postgresql://[::1]:5432/db"),
        ("postgresql:///db?host=/run", "postgresql:///db?host=/run"),
        # Special characters that should have been encoded: what follows may be of the password.
        ("postgresql://u:sec@ret@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u:sec/ret@host/db", "postgresql://***"),
        ("postgresql://u:sec#ret@host/db", "postgresql://***"),
        ("postgresql://u:sec?ret@host/db", "postgresql://***"),
        ("postgresql://u:secret", "postgresql://***"),
        ("postgresql://u:secret@[::1/db", "***"),
    ],
)
def test_passwords_are_masked(url: str, shown: str) -> None:
    assert masked_url(url) == shown
