"""Kafka and PostgreSQL in memory, at the level of the runtime's ports, with every way in which they can fail.

`SimKafka` and `SimPostgres` are the servers and outlive workers; a test may read and change what they hold.
`SimDatabase` (the ports `Positions` and `Database`), `SimConsumer` and `SimPublisher` are one worker's connections.

    kafka, postgres, clock = SimKafka(partitions=3), SimPostgres(), FakeClock()
    faults = Faults(clock.advance)                       # one for each worker process
    database = SimDatabase(postgres, "owner-1", faults)  # its sessions are named by the owner's token
    consumer = SimConsumer(kafka, faults)                # `kafka.give(partition, consumer)` assigns
    publisher = SimPublisher(kafka, "transactional-1", faults)
    background = FakeBackground(clock.advance)           # runs at once; `held`, `stuck`

Each call passes through the hook (`Faults`), which may fail it before its work or after (`faults.plan`), or kill the
process there (`Killed`). Nothing waits: who would have to, for a lock or a pending transaction, is told at once what
it would be told after the time-out. `tests/simulation` puts a scheduler in the hook's place.
"""

from tests.simulation.servers.clock import FakeBackground, FakeClock, FakePending
from tests.simulation.servers.consumer import SimConsumer
from tests.simulation.servers.database import SimDatabase
from tests.simulation.servers.faults import Busy, Faults, Hook, Killed
from tests.simulation.servers.group import EMPTY, SimMembership
from tests.simulation.servers.kafka import TOPIC_ID, SimKafka
from tests.simulation.servers.postgres import SimPostgres
from tests.simulation.servers.publisher import SimPublisher

__all__ = [
    "EMPTY",
    "TOPIC_ID",
    "Busy",
    "FakeBackground",
    "FakeClock",
    "FakePending",
    "Faults",
    "Hook",
    "Killed",
    "SimConsumer",
    "SimDatabase",
    "SimKafka",
    "SimMembership",
    "SimPostgres",
    "SimPublisher",
]
