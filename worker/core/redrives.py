"""What a redrive has to do, and what it puts where: dead letters in, records and their markers out. Pure."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, assert_never

from worker.core.dead_letters import (
    MARKED_AT,
    MARKED_OFFSET,
    MARKED_TO,
    DeadLetter,
    Marker,
    Place,
    Selection,
    placed,
    read_record,
)
from worker.core.records import Output, Record

REDRIVEN_FROM: Final = "redriven-from"
"""The header that tells of a redriven record where its dead letter stands: `topic[partition]@offset`."""


@dataclass(slots=True)
class Offsets:
    """A set of offsets of one partition, none below `first`. Takes one bit an offset, wanted or not."""

    first: int
    _bits: bytearray = field(default_factory=bytearray)
    _count: int = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, offset: int) -> bool:
        byte, mask = self._at(offset)
        return 0 <= byte < len(self._bits) and bool(self._bits[byte] & mask)

    def __iter__(self) -> Iterator[int]:
        """Give the offsets in order."""
        for number, byte in enumerate(self._bits):
            if byte:
                yield from (self.first + number * 8 + bit for bit in range(8) if byte >> bit & 1)

    @property
    def span(self) -> tuple[int, int]:
        """Give the first offset that is in, and the one behind the last. There must be one."""
        first = next(iter(self))
        number = len(self._bits) - 1
        while not self._bits[number]:
            number -= 1
        return first, self.first + number * 8 + self._bits[number].bit_length()

    def add(self, offset: int) -> None:
        """Put an offset in."""
        assert offset >= self.first, f"offset {offset} lies before the first, {self.first}"
        byte, mask = self._at(offset)
        if byte >= len(self._bits):
            self._bits.extend(bytes(byte + 1 - len(self._bits)))
        self._count += not self._bits[byte] & mask
        self._bits[byte] |= mask

    def discard(self, offset: int) -> None:
        """Take an offset out, if it is in."""
        if offset in self:
            byte, mask = self._at(offset)
            self._bits[byte] &= ~mask
            self._count -= 1

    def _at(self, offset: int) -> tuple[int, int]:
        byte, bit = divmod(offset - self.first, 8)
        return byte, 1 << bit


@dataclass(slots=True)
class Survey:
    """What of the dead letters is to be redriven, found record by record: the wanted ones without a marker.

    A marker stands behind its dead letter in the same partition, so that ids are all that is kept. `firsts` has each
    partition's first offset. Those of another consumer group are none of ours: its redrives have another
    transactional id, and the two would not exclude each other.
    """

    selection: Selection
    group_id: str
    firsts: Mapping[int, int]
    pending: dict[int, Offsets] = field(default_factory=dict)
    marked: int = 0
    foreign: Counter[str] = field(default_factory=Counter)
    found: set[Place] = field(default_factory=set)

    def take(self, record: Record) -> None:
        """Look at the next record of the topic."""
        told = read_record(record)
        match told:
            case DeadLetter():
                self._take_letter(told)
            case Marker():
                self._take_marker(told.place)
            case None:
                pass
            case _:
                assert_never(told)

    def __len__(self) -> int:
        return sum(map(len, self.pending.values()))

    @property
    def missing(self) -> list[Place]:
        """Give the places that were asked for and hold no dead letter that is wanted."""
        return sorted(self.selection.places - self.found)

    def cut(self, letters_max: int) -> None:
        """Keep so many, the first by partition and offset."""
        for partition in sorted(self.pending):
            kept = Offsets(self.pending[partition].first)
            for offset in islice(self.pending[partition], letters_max):
                kept.add(offset)
            self.pending[partition] = kept
            letters_max -= len(kept)

    def spans(self) -> tuple[dict[int, int], dict[int, int]]:
        """Give where the pending ones begin, and end, in each partition that has any."""
        found = {partition: offsets.span for partition, offsets in self.pending.items() if len(offsets)}
        return {one: span[0] for one, span in found.items()}, {one: span[1] for one, span in found.items()}

    def _take_letter(self, letter: DeadLetter) -> None:
        if not self.selection.takes(letter):
            return
        if self.selection.places:
            self.found.add(letter.place)
        if letter.group_id != self.group_id:
            self.foreign[letter.group_id] += 1
            return
        partition, offset = letter.place.partition, letter.place.offset
        self.pending.setdefault(partition, Offsets(self.firsts[partition])).add(offset)

    def _take_marker(self, place: Place) -> None:
        offsets = self.pending.get(place.partition)
        if offsets is not None and place.offset in offsets:
            offsets.discard(place.offset)
            self.marked += 1


@dataclass(frozen=True, slots=True)
class Sending:
    """A record on its way, and the partition that it must go to; none: where its key belongs."""

    output: Output
    partition: int | None


@dataclass(frozen=True, slots=True)
class Redriven:
    """What one dead letter comes to when it is redriven: its record and the marker, which go together."""

    letter: DeadLetter
    record: Sending
    marker: Sending

    @property
    def size(self) -> int:
        """Bound what both take in the brokers' logs, in bytes."""
        return self.record.output.size() + self.marker.output.size()


@dataclass(frozen=True, slots=True)
class Discarded:
    """What one dead letter comes to when it is discarded: a marker alone."""

    letter: DeadLetter
    marker: Sending

    @property
    def size(self) -> int:
        """Bound what it takes in the brokers' logs, in bytes."""
        return self.marker.output.size()


@dataclass(frozen=True, slots=True)
class Skipped:
    """A dead letter that can't be redriven, and why."""

    place: Place
    why: str


@dataclass(frozen=True, slots=True)
class Target:
    """What a topic takes: how many partitions it has, and its largest record in bytes."""

    partitions: int
    record_bytes_max: int


def redriven(letter: DeadLetter, original: Output, dead_letters: str, target: Target, now: int) -> Redriven:
    """Send a dead letter's record where it came from, its marker where the dead letter stands.

    A record that only just fits its topic goes without the header that tells of the redrive.
    """
    own = tuple((name, value) for name, value in original.headers if name != REDRIVEN_FROM)
    told = (REDRIVEN_FROM, placed(dead_letters, letter.place).encode())
    output = Output(original.topic, original.key, original.value, (*own, told))
    if output.size() > target.record_bytes_max:
        output = Output(original.topic, original.key, original.value, own)
    return Redriven(
        letter, Sending(output, _partition(letter, target)), _marker(letter, original.topic, dead_letters, now)
    )


def discarded(letter: DeadLetter, dead_letters: str, now: int) -> Discarded:
    """Have a dead letter go nowhere: its marker stands where it stands, so that it is never redriven."""
    return Discarded(letter, _marker(letter, "", dead_letters, now))


def _marker(letter: DeadLetter, topic: str, dead_letters: str, now: int) -> Sending:
    marker = {
        MARKED_OFFSET: str(letter.place.offset),
        MARKED_TO: topic,
        MARKED_AT: str(now),
    }
    headers = tuple((name, value.encode()) for name, value in marker.items())
    return Sending(Output(dead_letters, None, None, headers), letter.place.partition)


def find_original(letter: DeadLetter, kept: Iterable[Output]) -> Output | None:
    """Find a dead letter's bytes among records that the journal kept, by their digest; they go where it came from."""
    for one in kept:
        if hashlib.sha256(one.value or b"").hexdigest() == letter.value_digest:
            return Output(letter.original.topic, one.key, one.value, one.headers)
    return None


def _partition(letter: DeadLetter, target: Target) -> int | None:
    """Give the partition that a record came from: the other events of its subject are there, whoever sent them."""
    if letter.origin is None or letter.origin.partition >= target.partitions:
        return None
    return letter.origin.partition
