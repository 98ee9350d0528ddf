"""What all Kafka clients of this worker share: their properties, and how their errors read."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from worker.core.errors import SetupError

Client = TypeVar("Client")

_LOGGER = logging.getLogger("worker.kafka")
# Each client logs each attempt to connect that failed; an outage is told once, by what is raised.
_LOGGER.addFilter(lambda record: not record.getMessage().startswith("FAIL "))

CALL_TIMEOUT_SECONDS = 30.0
"""Bound of one call to the brokers, unless settings say otherwise; a restart of a broker is over by then."""

POLL_INTERVAL_MS = 300_000
"""librdkafka's default of `max.poll.interval.ms`."""

RECONNECT_SECONDS_MAX = 1.0
"""A server that is back is used again this soon."""


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """Say where the brokers are; `properties` are librdkafka's and stand above everything set here."""

    bootstrap_servers: str
    properties: Mapping[str, str] = field(default_factory=dict)
    session_timeout_ms: int = 45_000
    transaction_timeout_ms: int = 60_000
    call_timeout_seconds: float = CALL_TIMEOUT_SECONDS
    group_protocol: str = "classic"

    @property
    def effective_session_timeout_ms(self) -> int:
        """Give the session time-out that holds, a property's or ours."""
        return int(self.properties.get("session.timeout.ms", self.session_timeout_ms))

    @property
    def poll_interval_seconds(self) -> float:
        """Say after how long a member that does not poll is taken for dead: a property's value, or librdkafka's."""
        return int(self.properties.get("max.poll.interval.ms", POLL_INTERVAL_MS)) / 1000

    def client(self, **own: Any) -> dict[str, Any]:
        """Give the properties of one client, in librdkafka's names with `_` for `.`, but for callbacks."""
        named = {name if callable(value) else name.replace("_", "."): value for name, value in own.items()}
        common = {
            "bootstrap.servers": self.bootstrap_servers,
            "reconnect.backoff.max.ms": round(RECONNECT_SECONDS_MAX * 1000),
            "logger": _LOGGER,
        }
        return {**common, **named, **self.properties}


@dataclass(slots=True)
class Causes:
    """Keep the last word that a client had about its connections; librdkafka calls this.

    What a call says when no broker was to be had hides it: "Broker transport failure", or "timed out".
    """

    _last: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        """Note one."""
        if error.code() in _CAUSES:
            self._last = error

    @property
    def are_known(self) -> bool:
        """Whether there was a word at all."""
        return self._last is not None

    def text(self) -> str:
        """Say why no broker was to be had."""
        if self._last is None:
            return (
                "nothing answers there: a firewall, or a port that speaks something else, such as TLS, see "
                "WORKER_KAFKA__SECURITY_PROTOCOL"
            )
        text = self._last.str()
        told = next((cause for pattern, cause in _CAUSES_BY_TEXT if re.search(pattern, text)), None)
        return f"{told or _CAUSES[self._last.code()]}: {text}"

    @property
    def are_final(self) -> bool:
        """Whether trying again would come to the same: a login or a certificate is refused."""
        return self._last is not None and self._last.code() in _FINAL


_FINAL = frozenset((KafkaError._AUTHENTICATION, KafkaError._SSL))  # noqa: SLF001

_CAUSES_BY_TEXT: Sequence[tuple[str, str]] = (
    (
        "certificate verify failed",
        (
            "the brokers' certificate is not trusted: no authority of WORKER_KAFKA__SSL_CA_LOCATION has signed it, it "
            "has expired, or it names another host than WORKER_KAFKA_BOOTSTRAP_SERVERS"
        ),
    ),
    (
        "alert (bad certificate|certificate required|handshake failure|certificate unknown)",
        (
            "the brokers want a client certificate that they trust, see WORKER_KAFKA__SSL_CERTIFICATE_LOCATION and "
            "WORKER_KAFKA__SSL_KEY_LOCATION"
        ),
    ),
    (
        "Unsupported SASL mechanism",
        "the brokers refuse the login, set WORKER_KAFKA__SASL_MECHANISM to one that they take",
    ),
    (
        "SASL authentication error",
        "the brokers refuse the login, correct WORKER_KAFKA__SASL_USERNAME and WORKER_KAFKA__SASL_PASSWORD",
    ),
    # A broker that speaks no TLS may hang up instead of answering what librdkafka could make out.
    ("in state SSL_HANDSHAKE", "TLS fails, see WORKER_KAFKA__SECURITY_PROTOCOL and WORKER_KAFKA__SSL_*"),
)
"""What stands above the error's code: the first pattern that the text has."""

_CAUSES: Mapping[int, str] = {
    KafkaError._AUTHENTICATION: "the brokers refuse the login, see WORKER_KAFKA__SASL_*",  # noqa: SLF001
    KafkaError._RESOLVE: "the name has no address (DNS)",  # noqa: SLF001
    KafkaError._SSL: "TLS fails, see WORKER_KAFKA__SECURITY_PROTOCOL and WORKER_KAFKA__SSL_*",  # noqa: SLF001
    KafkaError._TRANSPORT: "there is no connection",  # noqa: SLF001
}


def new_client(make: Callable[[dict[str, Any]], Client], properties: dict[str, Any]) -> Client:
    """Make a client of librdkafka's. Raises: SetupError if it refuses a property, or their combination."""
    try:
        return make(properties)
    except (KafkaException, TypeError, ValueError) as exception:
        reason = error_of(exception).str() if isinstance(exception, KafkaException) else str(exception)
        raise SetupError(
            f"librdkafka refuses its properties: {reason}. Correct WORKER_KAFKA__<PROPERTY>"
        ) from exception


def error_of(exception: KafkaException | SystemError) -> KafkaError:
    """Give the error that librdkafka raised.

    It raises what is fatal within a call, makes the callbacks all the same that are due then, and Python calls it a
    fault of the system that those return in spite of it.
    """
    cause = exception if isinstance(exception, KafkaException) else exception.__cause__
    if not isinstance(cause, KafkaException):
        raise exception
    error: KafkaError = cause.args[0]
    return error


def describe(error: KafkaError) -> str:
    """Say what librdkafka said, with the error's name, and which right is to be granted, if that is it."""
    return f"{error.name()}: {error.str()}{_GRANTS.get(error.code(), '')}"


_GRANTS: Mapping[int, str] = {
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "; grant this worker IDEMPOTENT_WRITE on the cluster",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "; grant this worker READ on its consumer group",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "; grant this worker READ on the topics that it reads, and WRITE on those "
    "that it writes to",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "; grant this worker DESCRIBE and WRITE on transactional ids "
    "that begin with its consumer group's id",
}
