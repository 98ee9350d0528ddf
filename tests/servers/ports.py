"""Which ports the servers of a run's process take."""

from typing import Final

from worker.adapters.embedded import server

# Below those that programs under test take for servers of their own: a server that a test takes down for a moment
# finds its port free when it comes back.
FIRST: Final = 10_000
OF_A_PROCESS: Final = 1_000
PROCESSES_MAX: Final = (server.PORTS.start - FIRST) // OF_A_PROCESS


def keep_ports_apart(process: int) -> None:
    """Have the servers of this process, the so-manieth of the run, take ports that are no other process's."""
    begin = FIRST + OF_A_PROCESS * (process % PROCESSES_MAX)
    server.PORTS = range(begin, begin + OF_A_PROCESS)
