"""What every page's commands run on: one `worker dev` for all of them."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.commands import Running, environment, exports, running, temporary_folders
from worker.adapters.embedded.postgres import wheel_binaries


@pytest.fixture(scope="session")
def dev() -> Iterator[Running]:
    with temporary_folders() as folder, running("worker", "dev", given=None, folder=folder) as started:
        started.wait_for("The worker's log")
        yield started


@pytest.fixture
def reader_environment() -> dict[str, str]:
    """Give what a reader has: the command, and a psql, are on the path."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"], str(wheel_binaries())))
    return environment({"PATH": path})


@pytest.fixture
def shell_environment(dev: Running, reader_environment: dict[str, str]) -> dict[str, str]:
    """Give what a reader has who pasted what `worker dev` printed."""
    return reader_environment | exports(dev.output)
