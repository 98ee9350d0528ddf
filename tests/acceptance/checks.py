"""What must hold of workload W, whatever happened on the way. Each check gives the faults that it finds."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import Message

from tests.acceptance.deployment import Deployment, Position
from tests.workload import OUTPUT_TYPES, Order
from worker.core.codec import decode_record

FAULTS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Published:
    """One event that a `read_committed` reader sees, and where."""

    topic: str
    partition: int
    id: str
    parentid: str | None
    type: str
    subject: str


@dataclass(frozen=True, slots=True)
class Ended:
    """One instance, as PostgreSQL has it."""

    order_id: str
    status: str
    states: tuple[str, ...]
    revision: int
    result: str


def assert_orders_done(deployment: Deployment, numbers: Sequence[int]) -> None:
    """Hold everything that readers, operators and the next worker can see against what these orders must give."""
    published = [published_of(record) for record in deployment.outputs()]
    ends = deployment.end_offsets()
    rows = deployment.rows("SELECT partition, record_offset FROM journal")
    faults = [
        *output_faults(expected_outputs(numbers), published),
        *order_faults(published),
        *instance_faults(numbers, instances(deployment)),
        *journal_faults(ends, rows),
        *position_faults(ends, deployment.positions()),
        *(f"a dead letter at {record.partition()}/{record.offset()}" for record in deployment.dead_letters()),
    ]
    shown = "\n".join(faults[:FAULTS_SHOWN])
    assert not faults, f"{len(faults)} faults, of these the first:\n{shown}\n{_outcomes(deployment)}"


def _outcomes(deployment: Deployment) -> str:
    rows = deployment.rows(
        "SELECT outcome, reason, error_name, min(error_message), count(*) FROM journal GROUP BY 1, 2, 3 ORDER BY 5 DESC"
    )
    return "\n".join(f"journal: {row}" for row in rows)


def published_of(record: Message) -> Published:
    value, headers = record.value(), record.headers() or []
    assert isinstance(value, bytes)
    event = decode_record(value, tuple(headers))  # type: ignore[arg-type]
    return Published(
        topic=record.topic() or "",
        partition=record.partition() or 0,
        id=event.id,
        parentid=event.parentid,
        type=event.type,
        subject=event.subject,
    )


def expected_outputs(numbers: Sequence[int]) -> dict[str, str]:
    """Map the id of each input event to the type of the one event that it causes."""
    steps = enumerate(OUTPUT_TYPES)
    return {f"{Order(number).id}-{step}": type_ for step, type_ in steps for number in numbers}


def instances(deployment: Deployment) -> list[Ended]:
    rows = deployment.rows(
        "SELECT snapshot -> 'context' ->> 'order_id', status, states, revision, output ->> 'status' FROM instances"
    )
    return [
        Ended(order_id, status, tuple(states), revision, result) for order_id, status, states, revision, result in rows
    ]


def output_faults(expected: Mapping[str, str], published: Iterable[Published]) -> Iterator[str]:
    """Find inputs whose output is missing, doubled or another one, and outputs that no input caused."""
    seen = Counter((one.parentid, one.type) for one in published)
    wanted = set(expected.items())
    for cause, type_ in sorted(wanted - seen.keys()):
        yield f"input {cause}: its output {type_} is missing"
    for (caused_by, type_), count in seen.items():
        if (caused_by, type_) not in wanted:
            yield f"input {caused_by}: nobody expects its output {type_}"
        elif count > 1:
            yield f"input {caused_by}: its output {type_} is there {count} times"


def order_faults(published: Sequence[Published]) -> Iterator[str]:
    """Find subjects whose outputs are not in the order of their steps, or not on one partition of a topic."""
    steps = {type_: step for step, type_ in enumerate(OUTPUT_TYPES)}
    reached: dict[tuple[str, str], int] = {}
    homes: dict[tuple[str, str], int] = {}
    for one in published:
        place = (one.topic, one.subject)
        step = steps.get(one.type, -1)
        if step <= reached.get(place, -1):
            yield f"input {one.parentid}: its output {one.type} comes after that of a later step"
        reached[place] = step
        if homes.setdefault(place, one.partition) != one.partition:
            yield f"input {one.parentid}: its output is on partition {one.partition}, others of its subject are not"


def instance_faults(numbers: Sequence[int], ended: Sequence[Ended]) -> Iterator[str]:
    """Find orders that are not where they must be."""
    expected = {
        Ended(Order(number).id, "done", states=(), revision=len(OUTPUT_TYPES), result="completed") for number in numbers
    }
    for one in sorted(set(ended) ^ expected, key=lambda one: one.order_id):
        yield f"{'expected' if one in expected else 'found'} {one}"
    if len(ended) != len(set(ended)):
        yield "an instance is there twice"


def journal_faults(ends: Mapping[int, int], rows: Sequence[tuple[int, int]]) -> Iterator[str]:
    """Find offsets that are not in the journal exactly once."""
    seen = Counter(rows)
    for partition, end in ends.items():
        for offset in range(end):
            if seen.pop((partition, offset), 0) != 1:
                yield f"record {partition}/{offset}: not exactly one row in the journal"
    for partition, offset in seen:
        yield f"record {partition}/{offset}: in the journal, but not in the topic"


def position_faults(ends: Mapping[int, int], positions: Sequence[Position]) -> Iterator[str]:
    """Find partitions that were not applied, published and given back to their end."""
    found = {one.partition: one for one in positions}
    for partition, end in ends.items():
        expected = Position(partition, end, end, None)
        if found.get(partition) != expected:
            yield f"expected {expected}, found {found.get(partition)}"
