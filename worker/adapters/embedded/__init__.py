"""PostgreSQL and a Kafka-protocol broker from wheels: for `worker dev`, the demo and tests."""

from worker.adapters.embedded.broker import EmbeddedBroker
from worker.adapters.embedded.postgres import EmbeddedPostgres
from worker.adapters.embedded.server import ServerStartError

__all__ = ["EmbeddedBroker", "EmbeddedPostgres", "ServerStartError"]
