"""A failing seed in few lines: what the servers and workers did about one partition, with virtual times."""

from collections.abc import Iterator, Mapping, Sequence
from traceback import extract_tb

from tests.simulation.processes import Entry
from tests.simulation.runs import Result
from tests.simulation.watched import Violation
from worker.ports import Position

LINES_MAX = 40
FRAMES_MAX = 6
LINES_AROUND = 8
"""How many lines are shown around each that concerns the offset that was violated."""

_DULL = frozenset({"poll", "topic_id", "read", "membership", "flush"})


def explained(result: Result) -> Iterator[str]:
    """Give the entries of the trace that concern what was violated."""
    failure = result.failure
    place = (failure.partition, failure.offset) if isinstance(failure, Violation) else (None, None)
    entries = [one for one in result.trace.entries if _concerns(one, place[0])]
    shown = _around(entries, place)
    yield f"seed {result.seed}: {type(failure).__name__}: {failure}"
    if failure is not None and not isinstance(failure, Violation):
        frames = extract_tb(failure.__traceback__)[-FRAMES_MAX:]
        yield from (f"  at {frame.filename}:{frame.lineno} in {frame.name}: {frame.line}" for frame in frames)
    yield f"  {len(shown)} of {len(entries)} entries" + (f" about partition {place[0]}" if place[0] is not None else "")
    for before, index in zip([-1, *shown], shown, strict=False):
        if index != before + 1:
            yield f"  {'…':>10}"
        yield _line(entries[index])


def _around(entries: Sequence[Entry], place: tuple[int | None, int | None]) -> list[int]:
    """Choose what happened around the offset, or the last that happened if none is known."""
    partition, offset = place
    if partition is None or offset is None:
        return list(range(max(len(entries) - LINES_MAX, 0), len(entries)))
    offsets = [_offset(entry, partition) for entry in entries]
    known = [index for index, one in enumerate(offsets) if one is not None and one >= offset]
    first = known[0] if known else len(entries)
    chosen = {one for index in known[:6] for one in range(index - LINES_AROUND // 2, index + LINES_AROUND // 2)}
    chosen |= set(range(first - LINES_AROUND, first + LINES_AROUND))
    chosen |= {
        index for index, entry in enumerate(entries) if entry[2] in {"claimed", "released", "killed", "restored"}
    }
    near = sorted(one for one in chosen if 0 <= one < len(entries))
    return sorted(sorted(near, key=lambda one: abs(one - first))[:LINES_MAX])


def _offset(entry: Entry, partition: int) -> int | None:
    """Give the offset of this partition that an entry speaks of."""
    for part in entry[4]:
        if isinstance(part, Mapping) and isinstance(part.get(partition), int):
            offset: int = part[partition]
            return offset
    return None


def _concerns(entry: Entry, partition: int | None) -> bool:
    _, _, what, how, about = entry
    if what in _DULL and not how:
        return False
    numbers = [one for part in about for one in _partitions(part)]
    return partition is None or not numbers or partition in numbers


def _partitions(part: object) -> Sequence[int]:
    if isinstance(part, Mapping):
        return [one for one in part if isinstance(one, int)]
    if isinstance(part, (list, tuple)):
        return [one.partition if isinstance(one, Position) else one for one in part]
    return []


def _line(entry: Entry) -> str:
    time, who, what, how, about = entry
    told = " ".join(filter(None, (what, how, " ".join(map(_told, about)))))
    return f"  {time:10.4f}  {who:9} {told}"


def _told(part: object) -> str:
    if isinstance(part, Mapping):
        return str(dict(part)) if part else ""
    if isinstance(part, (list, tuple)):
        return str([_told(one) for one in part]).replace("'", "")
    if isinstance(part, Position):
        return f"{part.partition}: {part.published_offset}..{part.next_offset} of {part.owner}"
    return str(part)
