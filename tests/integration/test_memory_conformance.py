"""The memories' suites on the memory in PostgreSQL."""

from collections.abc import Iterator

import pytest

from tests.servers.postgres import Databases
from worker.adapters.postgres.memory import PostgresMachineMemory
from worker.orchestrator import MachineMemory
from worker.testing.memories import DeduplicatingMemoryConformance


@pytest.fixture(scope="module")
def shared_url(each_postgres_url: str, each_migrated_template: str) -> Iterator[str]:
    """Make one database for all tests: their subjects are their own."""
    databases = Databases(each_postgres_url)
    yield databases.make(each_migrated_template)
    databases.drop_all()


class TestPostgresMachineMemory(DeduplicatingMemoryConformance):
    url: str

    @pytest.fixture(autouse=True)
    def _database(self, shared_url: str) -> None:
        self.url = shared_url

    def make_memory(self) -> PostgresMachineMemory:
        return PostgresMachineMemory(self.url, lock_timeout_seconds=0.2)

    def reopen(self, memory: MachineMemory) -> MachineMemory:
        return self.make_memory()
