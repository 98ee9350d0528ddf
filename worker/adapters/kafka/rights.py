"""Whether Kafka lets this client do what it is for, asked before it begins: what is missing, and who is to grant it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer, TopicCollection
from confluent_kafka.admin import AdminClient

from worker.adapters.kafka.clients import KafkaConfig, describe, error_of, new_client
from worker.core.errors import SetupError
from worker.ports import KafkaUnavailable

REQUEST_SECONDS: Final = 10.0
DESCRIBE: Final = "DESCRIBE"
READ: Final = "READ"
WRITE: Final = "WRITE"

_DENIED: Final = frozenset(
    (
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    )
)
_EVERYTHING: Final = "ALTER"
"""Who may alter a topic is an administrator, or the brokers have no ACLs: then nothing more needs to be asked."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a client does: topics it reads and writes, groups it reads by, and an id for its transactions.

    Of `named` groups it has but the name: it never joins them. `id_prefix` is how all ids begin that it may ever have.
    """

    reads: Sequence[str] = ()
    writes: Sequence[str] = ()
    groups: Sequence[str] = ()
    named: Sequence[str] = ()
    transactional_id: str | None = None
    id_prefix: str = ""

    def of_topics(self) -> Iterator[tuple[str, str]]:
        """Give operation and topic of each."""
        yield from ((READ, name) for name in self.reads)
        yield from ((WRITE, name) for name in self.writes)

    def of_groups(self) -> Iterator[tuple[str, str]]:
        """Give operation and group of each."""
        yield from ((READ, name) for name in self.groups)
        yield from ((DESCRIBE, name) for name in self.named)


def require_rights(config: KafkaConfig, needs: Needs) -> None:
    """Check that this client may do all of it; brokers without ACLs let everybody.

    A topic that is not there is passed over. Raises: SetupError that names every right that is missing;
    KafkaUnavailable.
    """
    lacking = list(_lacking(config, needs))
    if not lacking:
        return
    user = config.properties.get("sasl.username")
    who = f"Kafka's user {user}" if user else "this client's user of Kafka"
    options = "; ".join(option for _, option in lacking)
    raise SetupError(
        f"{who} lacks {', '.join(text for text, _ in lacking)}. Grant it with `kafka-acls --add --allow-principal "
        f"User:{user or 'NAME'}` and {options}; docs/security.md has all that is needed"
    )


def _lacking(config: KafkaConfig, needs: Needs) -> Iterator[tuple[str, str]]:
    """Give each right that is missing, for people and as options of `kafka-acls`."""
    client = new_client(AdminClient, config.client(socket_connection_setup_timeout_ms=5_000))
    names = sorted({*needs.reads, *needs.writes})
    topics = _allowed(
        "the topics",
        lambda: client.describe_topics(
            TopicCollection(names), include_authorized_operations=True, request_timeout=REQUEST_SECONDS
        ),
    )
    for operation, name in needs.of_topics():
        if (allowed := topics[name]) is not None and operation not in allowed:
            yield f"{operation} on topic {name}", f"--operation {operation} --topic {name}"
    if any(_EVERYTHING in (allowed or ()) for allowed in topics.values()):
        return
    for operation, group in needs.of_groups():
        found = _allowed(
            f"group {group}",
            lambda asked=group: client.describe_consumer_groups(  # type: ignore[misc]
                [asked], include_authorized_operations=True, request_timeout=REQUEST_SECONDS
            ),
        )
        if (allowed := found[group]) is not None and operation not in allowed:
            yield f"{operation} on group {group}", f"--operation {operation} --group {group}"
    if needs.transactional_id is not None and _is_denied(config, needs.transactional_id):
        prefix = needs.id_prefix
        option = f"--operation WRITE --resource-pattern-type prefixed --transactional-id {prefix}"
        yield f"WRITE on transactional ids that begin with {prefix}", option


def _allowed(what: str, ask: Callable[[], Mapping[str, Future[Any]]]) -> Mapping[str, frozenset[str] | None]:
    """Give what may be done with each; None where brokers don't tell, or there is no such thing."""
    return {name: _operations(what, answer) for name, answer in ask().items()}


def _operations(what: str, answer: Future[Any]) -> frozenset[str] | None:
    try:
        told = answer.result().authorized_operations
    except KafkaException as exception:
        error = error_of(exception)
        if error.code() in _DENIED:
            return frozenset()
        if error.code() < 0 or error.code() == KafkaError.REQUEST_TIMED_OUT:
            raise KafkaUnavailable(f"{what}: {describe(error)}") from exception
        return None
    return frozenset(one.name for one in told) if told else None


def _is_denied(config: KafkaConfig, transactional_id: str) -> bool:
    """Tell whether the id can't be had for want of a right: brokers don't tell, so it is tried."""
    client = new_client(Producer, config.client(transactional_id=transactional_id) | {"log_level": 0})
    try:
        client.init_transactions(REQUEST_SECONDS)
    except KafkaException as exception:
        return error_of(exception).code() in _DENIED
    return False
