"""What must hold after any faults. Records come in as digests, violations go out as values; nothing is read here.

Fed in this order: every input, every journal row in the order of partition and offset, every visible output in the
order of topic, partition and offset, every instance; then `violations` tells all.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tests.chaos.records import Digest, Place, partition_of, place_text

Verdict = Literal["lost", "doubled", "out of order", "wrong state"]

VERDICTS: tuple[Verdict, ...] = ("lost", "doubled", "out of order", "wrong state")

Expected = tuple[str, str | None]
"""An outcome, and its reason."""

APPLIED: Expected = ("advanced", None)
COPIED: Expected = ("duplicate", None)


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that must not be, and what it can be followed by in the history."""

    verdict: Verdict
    text: str
    place: Place | None = None
    subject: Digest | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the journal. `content` is the digest of the record, `outputs` those of what is to be published.

    `event` is the key of an event that counts as consumed.
    """

    place: Place
    content: Digest
    subject: Digest | None
    outcome: str
    reason: str | None = None
    revision: int | None = None
    outputs: tuple[Digest, ...] = ()
    event: int | None = None


@dataclass(frozen=True, slots=True)
class Visible:
    """An output that a reader of committed records sees; `subject` is the digest of its key."""

    topic: str
    partition: int
    offset: int
    content: Digest
    subject: Digest

    @property
    def where(self) -> str:
        return f"{self.topic} {self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """An instance, as PostgreSQL has it; `number` is that of its order or family, `result` what it ended with."""

    subject: Digest
    source: str
    status: str
    states: tuple[str, ...]
    revision: int
    number: int
    result: object


@dataclass(slots=True)
class Checker:
    """Compare what was produced, what PostgreSQL has and what readers see.

    `sent` tells for every record that a producer sent the outcome that it must come to; all others are the worker's.
    But a client may send a record twice though it is told of one (an idempotent producer does when leaders change and
    its epoch with them): `sent_again` counts those that have the bytes and the timestamp of one that was sent.
    """

    sent: Mapping[Place, Expected]
    ordered: bool = True
    inputs: int = 0
    outputs: int = 0
    sent_again: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    _expected: dict[Place, Expected] = field(default_factory=dict)
    _first: dict[Digest, Place] = field(default_factory=dict)
    _contents: dict[Place, Digest] = field(default_factory=dict)
    _rows: set[Place] = field(default_factory=set)
    _events: set[int] = field(default_factory=set)
    _numbers: dict[Digest, int] = field(default_factory=dict)
    _causes: "array[int]" = field(default_factory=lambda: array("q"))
    _seen: bytearray = field(default_factory=bytearray)
    _revisions: dict[Digest, int] = field(default_factory=dict)
    _reached: dict[tuple[str, Digest, int], int] = field(default_factory=dict)
    _homes: dict[tuple[str, Digest], int] = field(default_factory=dict)
    _found: list[Violation] = field(default_factory=list)

    def add_input(self, place: Place, content: Digest) -> None:
        """Take a record of the input topic."""
        self.inputs += 1
        self._contents[place] = content
        first = self._first.setdefault(content, place)
        if first != place and (place in self.sent) != (first in self.sent):
            self._take_for_copies(*sorted((first, place)))

    def add_row(self, row: Row) -> None:
        """Take a row of the journal."""
        self.outcomes[row.outcome] += 1
        self._found += self._row_violations(row)
        self._rows.add(row.place)
        if row.event is not None:
            self._events.add(row.event)
        for content in row.outputs:
            if content in self._numbers:
                self._found.append(Violation("doubled", "an output is in the journal twice", row.place, row.subject))
            self._numbers[content] = len(self._causes)
            self._causes.append(row.place)
            self._seen.append(0)

    def add_visible(self, one: Visible) -> None:
        """Take an output that readers see."""
        self.outputs += 1
        number = self._numbers.get(one.content)
        if number is None:
            text = f"{one.where} is not in the journal, or differs from what is there"
            self._found.append(Violation("doubled", text, subject=one.subject))
            return
        cause = Place(self._causes[number])
        if self._seen[number]:
            text = f"the output at {one.where} is there {self._seen[number] + 1} times"
            self._found.append(Violation("doubled", text, cause, one.subject))
        self._seen[number] = min(self._seen[number] + 1, 255)
        if self.ordered:
            self._found += self._order_violations(one, number, cause)

    def add_instances(self, rows: Iterable[InstanceRow], roots: Mapping[Digest, tuple[str, int]]) -> None:
        """Take all instances; `roots` are the subjects that producers started, each with source and number."""
        found: set[Digest] = set()
        children: Counter[int] = Counter()
        for row in rows:
            found.add(row.subject)
            children[row.number] += row.source == CHILD
            self._found += self._instance_violations(row, roots)
        for subject in roots.keys() - found:
            self._found.append(Violation("lost", f"{roots[subject]} has no instance", subject=subject))
        for source, number in roots.values():
            if source == PARENT and children[number] != 1:
                self._found.append(Violation("wrong state", f"family {number} has {children[number]} children"))

    def violations(self) -> Iterator[Violation]:
        """Give everything that is wrong. What is missing is known only now."""
        yield from self._found
        for place in self.sent.keys() - self._contents.keys():
            yield Violation("lost", "Kafka took this record and has it no longer", place)
        for place in self._contents.keys() - self._rows:
            yield Violation("lost", "this record is not in the journal", place)
        for number, times in enumerate(self._seen):
            if not times:
                yield Violation("lost", "an output of this record is not visible", Place(self._causes[number]))

    def is_produced(self, place: Place) -> bool:
        """Tell whether a record of the input topic came from a producer; else it is an output of a worker."""
        return place in self.sent or place in self._expected

    def _take_for_copies(self, earlier: Place, later: Place) -> None:
        """Expect the earlier to be what was sent, and the later one its copy."""
        self.sent_again += 1
        sent = self.sent[earlier if earlier in self.sent else later]
        self._expected |= {earlier: sent, later: COPIED if sent == APPLIED else sent}

    def _row_violations(self, row: Row) -> Iterator[Violation]:
        if row.place in self._rows:
            yield Violation("doubled", "this record is in the journal twice", row.place, row.subject)
        if row.event in self._events:
            yield Violation("doubled", "this event was consumed before", row.place, row.subject)
        content = self._contents.get(row.place)
        if content is None:
            yield Violation("doubled", "the journal has a record that is not in the topic", row.place, row.subject)
        elif content != row.content:
            yield Violation("wrong state", "the journal has other bytes than the topic", row.place, row.subject)
        expected = self._expected.get(row.place) or self.sent.get(row.place, APPLIED)
        got = (row.outcome, row.reason)
        if self.ordered and got != expected:
            yield Violation("wrong state", f"expected {expected}, got {got}", row.place, row.subject)
        if row.revision is not None and row.subject is not None:
            yield from self._revision_violations(row.place, row.subject, row.revision)

    def _revision_violations(self, place: Place, subject: Digest, revision: int) -> Iterator[Violation]:
        before = self._revisions.get(subject, 0)
        self._revisions[subject] = max(revision, before) if self.ordered else before + 1
        if self.ordered and revision != before + 1:
            yield Violation("out of order", f"revision {revision} came after {before}", place, subject)

    def _order_violations(self, one: Visible, number: int, cause: Place) -> Iterator[Violation]:
        """Compare with the outputs of this subject in this topic that causes on the same partition had."""
        at = (one.topic, one.subject, partition_of(cause))
        before = self._reached.get(at, -1)
        self._reached[at] = number
        if number < before:
            earlier = place_text(Place(self._causes[before]))
            yield Violation("out of order", f"{one.where} comes after the output of {earlier}", cause, one.subject)
        home = self._homes.setdefault((one.topic, one.subject), one.partition)
        if home != one.partition:
            text = f"{one.where}: others of its subject are on partition {home}"
            yield Violation("out of order", text, cause, one.subject)

    def _instance_violations(self, row: InstanceRow, roots: Mapping[Digest, tuple[str, int]]) -> Iterator[Violation]:
        if row.revision != self._revisions.get(row.subject, 0):
            text = f"revision {row.revision}, but {self._revisions.get(row.subject, 0)} steps are in the journal"
            yield Violation("wrong state", text, subject=row.subject)
        if row.source != CHILD and roots.get(row.subject) != (row.source, row.number):
            yield Violation("wrong state", f"nobody started {row.source} {row.number}", subject=row.subject)
        if self.ordered and (row.status, row.states, row.revision, row.result) != expected_end(row):
            yield Violation("wrong state", f"found {row}", subject=row.subject)


CHILD = "arvo.orc.child"
PARENT = "arvo.orc.parent"
STEPS = {"arvo.orc.order": 4, PARENT: 2, CHILD: 1}


def expected_end(row: InstanceRow) -> tuple[str, tuple[str, ...], int, object]:
    """Say how an instance must end: status, active states, revision and result."""
    result = "completed" if row.source == "arvo.orc.order" else 2 * row.number
    return "done", (), STEPS[row.source], result


def counts(violations: Iterable[Violation]) -> dict[Verdict, int]:
    """Count by verdict, all of them named."""
    counted = Counter(one.verdict for one in violations)
    return {verdict: counted[verdict] for verdict in VERDICTS}
