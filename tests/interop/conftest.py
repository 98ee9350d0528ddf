"""Fixtures of the tests with Node: its packages, the compiled TypeScript, and a peer that judges with arvo-core."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.cases import SEED_VARIABLE
from tests.interop.node import Peer, compile_typescript, fetch_modules, node_can_run
from tests.servers.availability import NODE_REMEDY


@pytest.fixture(scope="session")
def node_modules() -> None:
    """Install the packages of the lock file."""
    if not node_can_run():
        pytest.fail(f"Node can't run here: {NODE_REMEDY}", pytrace=False)
    fetch_modules()


@pytest.fixture(scope="session")
def programs(node_modules: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Check and compile the TypeScript; give the folder of the programs."""
    return compile_typescript(tmp_path_factory.mktemp("typescript"))


@pytest.fixture(scope="session")
def peer(programs: Path) -> Iterator[Peer]:
    """Start arvo-core."""
    with Peer(programs / "peer.js") as started:
        yield started


@pytest.fixture
def seed() -> int:
    """Give the seed of the cases that Node generates; a failing test shows it."""
    value = int(os.environ.get(SEED_VARIABLE, "1"))
    print(f"{SEED_VARIABLE}={value}")
    return value
