"""An SDK of the test's own, which keeps spans in memory."""

from collections.abc import Iterator

import pytest

from tests.tracing.recording import Recorder


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Record all that is traced within the test."""
    with Recorder() as recorder:
        yield recorder
