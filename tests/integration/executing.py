"""What another process does with a memory in PostgreSQL."""

import sys

from tests.orchestrator.desk import added, counting, start
from worker.adapters.postgres.memory import PostgresMachineMemory
from worker.core.errors import ArvoTransactionError, StaleWriteError, TransactionCause
from worker.core.events import Event
from worker.orchestrator import MachineMemory, Orchestrator
from worker.orchestrator.results import ExecutionResult

ATTEMPTS_MAX = 1_000


def execute_all(url: str, numbers: list[int]) -> list[str]:
    """Start the one instance and execute replies, each told by its number; give the ids of what each emitted."""
    with PostgresMachineMemory(url) as memory:
        orchestrator = counting(memory, needs_lock=True)
        results = [retried(orchestrator, start())]
        results += [retried(orchestrator, reply(number)) for number in numbers]
    return [event.id for result in results for event in result.domained_events["all"]]


def reply(number: int) -> Event:
    return added(number, f"reply-{number}")


def retried(orchestrator: Orchestrator, event: Event) -> ExecutionResult:
    """Execute until no other execution is in the way."""
    for _ in range(ATTEMPTS_MAX):
        try:
            return orchestrator.execute(event)
        except ArvoTransactionError as error:
            is_race = error.cause is TransactionCause.LOCK_UNACQUIRED or isinstance(error.__cause__, StaleWriteError)
            if not is_race:
                raise
    raise AssertionError(f"other executions were in the way {ATTEMPTS_MAX} times")


def lock_and_wait(memory: MachineMemory, subject: str) -> None:
    """Take a lock, say so, and keep it until the process is killed or its input ends."""
    assert memory.lock(subject)
    print("locked", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    lock_and_wait(PostgresMachineMemory(sys.argv[1]), sys.argv[2])
