"""The broker's memory keeps what any memory promises."""

from worker.testing import DeduplicatingMemoryConformance, LocalMemory


class TestLocalMemory(DeduplicatingMemoryConformance):
    def make_memory(self) -> LocalMemory:
        return LocalMemory()
