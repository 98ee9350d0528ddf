"""What all Kafka clients of this worker share: their properties, and how their errors read."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from worker.core.errors import SetupError

Client = TypeVar("Client")

_LOGGER = logging.getLogger("worker.kafka")

CALL_TIMEOUT_SECONDS = 30.0
"""Bound of one call to the brokers; a restart of a broker is over by then."""


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """Say where the brokers are; `properties` are librdkafka's and stand above everything set here."""

    bootstrap_servers: str
    properties: Mapping[str, str] = field(default_factory=dict)
    session_timeout_ms: int = 45_000
    transaction_timeout_ms: int = 60_000

    @property
    def effective_session_timeout_ms(self) -> int:
        """Give the session time-out that holds, a property's or ours."""
        return int(self.properties.get("session.timeout.ms", self.session_timeout_ms))

    def client(self, **own: Any) -> dict[str, Any]:
        """Give the properties of one client, in librdkafka's names with `_` for `.`."""
        named = {name.replace("_", "."): value for name, value in own.items()}
        return {"bootstrap.servers": self.bootstrap_servers, "logger": _LOGGER, **named, **self.properties}


def new_client(make: Callable[[dict[str, Any]], Client], properties: dict[str, Any]) -> Client:
    """Make a client of librdkafka's. Raises: SetupError if it refuses a property, or their combination."""
    try:
        return make(properties)
    except (KafkaException, TypeError, ValueError) as exception:
        reason = error_of(exception).str() if isinstance(exception, KafkaException) else str(exception)
        raise SetupError(
            f"librdkafka refuses its properties: {reason}. Correct WORKER_KAFKA__<PROPERTY>"
        ) from exception


def error_of(exception: KafkaException) -> KafkaError:
    """Give the error that librdkafka raised."""
    error: KafkaError = exception.args[0]
    return error


def describe(error: KafkaError) -> str:
    """Say what librdkafka said, with the error's name."""
    return f"{error.name()}: {error.str()}"
