"""`worker partitions` and `worker adopt`: how each partition stands, and the way on from where a worker refuses one.

They change position rows and the binding alone, never Kafka, and only while no worker runs.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import typer

from worker.adapters.kafka.clients import KafkaConfig
from worker.adapters.kafka.offsets import GroupWatch, Member
from worker.adapters.kafka.topics import TopicAdmin
from worker.adapters.postgres.migrate import require_current
from worker.adapters.postgres.operators import Beginning, OperatorDatabase, Served, WorkerSession
from worker.adapters.postgres.session import DatabaseConfig
from worker.core.errors import SetupError
from worker.core.routing import Topics
from worker.logs import configure_logs
from worker.ports import Position, PositionMoved, Standing
from worker.runtime.taking import GoOn, Refused, Republish, RunAgain, decide
from worker.settings import Settings, load_settings
from worker.terminal.colours import Colour, Tinted, colours_on
from worker.terminal.faults import fail
from worker.terminal.texts import counted, table

FIRST: Final = "first"
COMMITTED: Final = "committed"

_HEADS: Final = (
    *("PARTITION", "TOPIC", "APPLIED", "PUBLISHED", "COMMITTED", "FIRST", "END"),
    *("OWNER", "DEATHS", "ATTEMPTS", "A WORKER WOULD"),
)
_NOTHING: Final = "Nothing was changed"


@dataclass(frozen=True, slots=True)
class Stand:
    """One partition, as the database, the group and the topic have it. `first` and `end` are None if it isn't there."""

    partition: int
    row: Position | None
    committed: int | None
    first: int | None
    end: int | None

    def would(self, topic_id: str) -> str:
        """Say in a word what a worker that takes it would do."""
        if self.first is None:
            return "nothing"
        decision = decide(self.partition, self.row, Standing(self.committed, self.first, topic_id))
        match decision:
            case GoOn():
                return "begin" if self.row is None else "go-on"
            case Republish():
                return "publish"
            case RunAgain():
                return "run-again"
            case Refused(reason=reason):
                return reason.value


@dataclass(frozen=True, slots=True)
class Scene:
    """A deployment, as it is seen from outside."""

    topic: str
    topic_id: str
    ours: Served
    served: Served | None
    members: Sequence[Member]
    sessions: Sequence[WorkerSession]
    stands: Mapping[int, Stand]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Say which partitions are to begin where: `at` is `first`, `committed` or an offset."""

    partitions: Sequence[int]
    every: bool
    at: str


@dataclass(frozen=True, slots=True)
class Plan:
    """One partition, and the offset that it is to begin at."""

    stand: Stand
    topic_id: str
    offset: int

    @property
    def changes(self) -> bool:
        """Whether the row is not so already."""
        row = self.stand.row
        return row is None or (row.topic_id, row.next_offset) != (self.topic_id, self.offset)

    def consequences(self) -> Iterator[str]:
        """Say what follows."""
        row, committed = self.stand.row, self.stand.committed
        if row is None:
            yield "the database has none of the instances that earlier records began"
        else:
            yield from self._consequences_of(row)
        if committed is not None and committed > self.offset:
            yield (
                f"the group has committed {committed}: the worker puts that back to {self.offset}, and what records "
                f"[{self.offset}, {committed}) cause is published again unless they are told as duplicates"
            )

    def _consequences_of(self, row: Position) -> Iterator[str]:
        before, after = row.next_offset, self.offset
        is_same = row.topic_id == self.topic_id
        if not is_same:
            yield f"the topic was made anew: offset {before} of the one before is given up"
        elif after > before:
            yield f"records [{before}, {after}) are not run"
        else:
            yield f"records [{after}, {before}) are run again, and events that the journal knows dropped as duplicates"
        known = max(row.published_offset, min(self.stand.committed or 0, before) if is_same else 0)
        if known < before:
            which = f"outputs of records [{known}, {before}) that are not published yet"
            yield f"{which} are published by the worker" if is_same and after > before else f"{which} are given up"


class Sides:
    """Both servers of a deployment, from outside. All calls raise KafkaUnavailable, DatabaseUnavailable."""

    def __init__(self, settings: Settings) -> None:
        url = settings.database_url.get_secret_value()
        require_current(url)
        self._group_id = settings.group_id
        self._topic = Topics(settings.topic_prefix).input
        self._kafka = KafkaConfig(settings.kafka_bootstrap_servers, settings.kafka_properties)
        self._admin = TopicAdmin(self._kafka)
        self.database = OperatorDatabase(DatabaseConfig(url))

    def ours(self) -> Served:
        """Say what the settings name."""
        return Served(self._admin.cluster_id(), self._group_id, self._topic)

    def members(self, group_id: str) -> Sequence[Member]:
        """Name who is in a group."""
        return GroupWatch(self._kafka, group_id).members()

    def scene(self, *, stable: bool) -> Scene:
        """Look at everything; `stable` waits for open transactions. Raises: SetupError, if there is no topic."""
        ours = self.ours()
        if self._admin.missing([self._topic]):
            raise SetupError(f"there is no topic {self._topic}: is WORKER_TOPIC_PREFIX right?")
        numbers = range(self._admin.partitions(self._topic))
        group = GroupWatch(self._kafka, self._group_id)
        members = group.members()  # First: of a group that may not be seen, asking for offsets tells nothing.
        committed = group.committed(self._topic, numbers, stable=stable)
        firsts, ends = self._admin.first_offsets(self._topic, numbers), group.ends(self._topic, numbers)
        rows = self.database.positions()
        return Scene(
            topic=self._topic,
            topic_id=self._admin.topic_id(self._topic),
            ours=ours,
            served=self.database.served(),
            members=members,
            sessions=self.database.sessions(),
            stands={
                one: Stand(one, rows.get(one), committed.get(one), firsts.get(one), ends.get(one))
                for one in sorted({*numbers, *rows})
            },
        )


def list_partitions(*, as_json: bool) -> None:
    """Print how each partition stands. Raises: SetupError, KafkaUnavailable, DatabaseUnavailable."""
    configure_logs("error", "console")
    sides = Sides(load_settings().settings)
    try:
        scene = sides.scene(stable=False)
    finally:
        sides.database.close()
    if as_json:
        sys.stdout.write(json.dumps(_document(scene), indent=2) + "\n")
        return
    rows = [_HEADS, *(_cells(scene, one) for one in scene.stands.values())]
    sys.stdout.write(table(rows, colours=colours_on(sys.stdout)) + "\n")
    sys.stdout.flush()
    for note in _notes(scene):
        sys.stderr.write(f"{note}\n")


def begin_partitions(wanted: Wanted, *, yes: bool) -> None:
    """Have partitions begin elsewhere, after asking. Raises: SetupError, KafkaUnavailable, DatabaseUnavailable."""
    configure_logs("error", "console")
    sides = Sides(load_settings().settings)
    scene = sides.scene(stable=True)
    _refuse_if_bound_elsewhere(scene)
    _refuse_if_alive(scene.members, scene.sessions)
    plans = [_plan(scene, number, wanted.at) for number in _numbers(scene, wanted)]
    changes = [plan for plan in plans if plan.changes]
    if not changes:
        sys.stdout.write("all of these stand there already\n")
        return
    _show(changes)
    _confirm(f"Begin {counted(len(changes), 'partition')} there?", yes=yes)
    beginnings = [Beginning(one.stand.partition, one.topic_id, one.offset) for one in changes]
    found = {number: stand.row for number, stand in scene.stands.items() if stand.row is not None}
    try:
        sides.database.begin(beginnings, found)
    except PositionMoved:
        fail(f"a worker took one of these partitions in the meantime: stop all workers and run it again. {_NOTHING}")
    for one in beginnings:
        sys.stdout.write(f"partition {one.partition} begins at {one.offset}\n")


def adopt_database(*, yes: bool) -> None:
    """Have the database serve what the settings name. Raises: SetupError, KafkaUnavailable, DatabaseUnavailable."""
    configure_logs("error", "console")
    sides = Sides(load_settings().settings)
    ours, served = sides.ours(), sides.database.served()
    if served == ours:
        sys.stdout.write("the database serves these already\n")
        return
    members = list(sides.members(ours.group_id))
    if served is not None and served.cluster_id == ours.cluster_id and served.group_id != ours.group_id:
        members += sides.members(served.group_id)
    _refuse_if_alive(members, sides.database.sessions())
    heads = ("", "CLUSTER", "GROUP", "INPUT TOPIC")
    was = ("serves", *_served_cells(served))
    sys.stdout.write(table([heads, was, ("will serve", *_served_cells(ours))]) + "\n")
    _confirm("Adopt the database, with the instances in it?", yes=yes)
    try:
        sides.database.adopt(ours, served)
    except PositionMoved:
        fail(f"whom the database serves changed in the meantime: run it again. {_NOTHING}")
    sys.stdout.write("the database is adopted\n")


def _refuse_if_bound_elsewhere(scene: Scene) -> None:
    if scene.served not in (None, scene.ours):
        raise SetupError(f"{bound_text(scene)}: correct the settings, or run `worker adopt` first. {_NOTHING}")


def _refuse_if_alive(members: Sequence[Member], sessions: Sequence[WorkerSession]) -> None:
    alive = [
        *(f"{one.client_id} at {one.host} in the consumer group" for one in members),
        *(f"{one.owner} at {one.host} in the database (process {one.pid})" for one in sessions),
    ]
    if alive:
        raise SetupError(
            f"workers run: {'; '.join(alive)}. Stop all of them and run it again; one that was killed counts until its "
            f"session's time-out, 45 s by default. {_NOTHING}"
        )


def _numbers(scene: Scene, wanted: Wanted) -> Sequence[int]:
    """Give the partitions that are meant. Raises: SetupError, for one that the topic does not have."""
    there = [number for number, stand in scene.stands.items() if stand.first is not None]
    if wanted.every == bool(wanted.partitions):
        raise SetupError("say which partitions: `--partition 3`, as often as needed, or `--all`")
    unknown = sorted(set(wanted.partitions) - set(there))
    if unknown:
        raise SetupError(f"{scene.topic} has no partition {unknown[0]}: it has {len(there)}, from 0")
    return there if wanted.every else sorted(set(wanted.partitions))


def _plan(scene: Scene, number: int, at: str) -> Plan:
    """Find the offset that is meant. Raises: SetupError, if there is none, or the topic has no such offset."""
    stand = scene.stands[number]
    assert stand.first is not None
    assert stand.end is not None
    offset = _offset(stand, at)
    if not stand.first <= offset <= stand.end:
        raise SetupError(
            f"partition {number} can't begin at {offset}: the topic has [{stand.first}, {stand.end}). {_NOTHING}"
        )
    return Plan(stand, scene.topic_id, offset)


def _offset(stand: Stand, at: str) -> int:
    if at == FIRST:
        assert stand.first is not None
        return stand.first
    if at == COMMITTED:
        if stand.committed is None:
            raise SetupError(
                f"the group has no committed offset for partition {stand.partition}: say `--at {FIRST}`, or an offset. "
                f"{_NOTHING}"
            )
        return stand.committed
    if not (at.isascii() and at.isdecimal()):
        raise SetupError(f"--at takes {FIRST}, {COMMITTED} or an offset, not {at!r}")
    return int(at)


def _show(plans: Sequence[Plan]) -> None:
    rows = [
        (
            str(plan.stand.partition),
            *(_text(plan.stand.row and plan.stand.row.next_offset), _text(plan.stand.committed)),
            str(plan.offset),
        )
        for plan in plans
    ]
    sys.stdout.write(table([("PARTITION", "APPLIED", "COMMITTED", "WILL BEGIN AT"), *rows]) + "\n")
    for plan in plans:
        for consequence in plan.consequences():
            sys.stdout.write(f"partition {plan.stand.partition}: {consequence}\n")
    sys.stdout.flush()


def _confirm(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise SetupError(f"there is nobody to ask: say --yes. {_NOTHING}")
    if not typer.confirm(question, err=True):
        fail(_NOTHING.lower())


def _cells(scene: Scene, stand: Stand) -> tuple[str, ...]:
    row = stand.row
    cells: tuple[object, ...] = (
        stand.partition,
        _topic_word(scene, row),
        row and row.next_offset,
        row and row.published_offset,
        stand.committed,
        stand.first,
        stand.end,
        _owner_text(scene, row),
        row and row.deaths,
        row and row.attempts,
    )
    would = stand.would(scene.topic_id)
    # What is refused is written in capitals.
    return *map(_text, cells), Tinted(would, Colour.BAD if would.isupper() else None)


def _topic_word(scene: Scene, row: Position | None) -> str | None:
    if row is None:
        return None
    return "same" if row.topic_id == scene.topic_id else "another"


def _owner_text(scene: Scene, row: Position | None) -> str | None:
    if row is None or row.owner is None:
        return None
    return f"{row.owner} {'alive' if _is_alive(scene, row.owner) else 'gone'}"


def _is_alive(scene: Scene, owner: str) -> bool:
    return any(one.owner == owner for one in scene.sessions)


def _notes(scene: Scene) -> Iterator[str]:
    if scene.served not in (None, scene.ours):
        yield f"{bound_text(scene)}: workers won't start; correct the settings, or see `worker adopt --help`"
    yield f"{counted(len(scene.members), 'member')} in the consumer group {scene.ours.group_id}"


def bound_text(scene: Scene) -> str:
    """Say whom the database serves, and whom the settings name."""
    return (
        f"the database serves cluster, group and topic {', '.join(_served_cells(scene.served))}, and the settings name "
        f"{', '.join(_served_cells(scene.ours))}"
    )


def _served_cells(served: Served | None) -> tuple[str, str, str]:
    return ("nobody", "", "") if served is None else (served.cluster_id, served.group_id, served.input_topic)


def _document(scene: Scene) -> dict[str, Any]:
    return {
        "topic": scene.topic,
        "topic_id": scene.topic_id,
        "group_id": scene.ours.group_id,
        "is_served": scene.served in (None, scene.ours),
        "members": [{"client_id": one.client_id, "host": one.host} for one in scene.members],
        "partitions": [_partition_document(scene, stand) for stand in scene.stands.values()],
    }


def _partition_document(scene: Scene, stand: Stand) -> dict[str, Any]:
    row = stand.row
    return {
        "partition": stand.partition,
        "topic_id": row and row.topic_id,
        "next_offset": row and row.next_offset,
        "published_offset": row and row.published_offset,
        "committed": stand.committed,
        "first": stand.first,
        "end": stand.end,
        "owner": row and row.owner,
        "owner_is_alive": bool(row and row.owner and _is_alive(scene, row.owner)),
        "deaths": row and row.deaths,
        "attempts": row and row.attempts,
        "would": stand.would(scene.topic_id),
    }


def _text(value: object) -> str:
    return "-" if value is None else str(value)
