"""A failing seed in few lines: what the servers and workers did about one partition, with virtual times."""

from collections.abc import Iterator, Mapping, Sequence

from tests.simulation.runs import Result
from tests.simulation.watched import Violation
from worker.ports import Position

LINES_MAX = 40


def explained(result: Result) -> Iterator[str]:
    """Give the last entries of the trace that concern what was violated, and the command that repeats the run."""
    failure = result.failure
    partition = failure.partition if isinstance(failure, Violation) else None
    shown = [one for one in result.trace.entries if _concerns(one, partition)]
    yield f"seed {result.seed}: {type(failure).__name__}: {failure}"
    yield f"  the last of {len(shown)} entries" + (f" about partition {partition}:" if partition is not None else ":")
    for time, who, what, how, about in shown[-LINES_MAX:]:
        told = " ".join(filter(None, (what, how, " ".join(map(_told, about)))))
        yield f"  {time:10.4f}  {who:9} {told}"


def _concerns(entry: tuple[float, str, str, str, tuple[object, ...]], partition: int | None) -> bool:
    _, _, what, how, about = entry
    if what in _DULL and not how:
        return False
    numbers = [one for part in about for one in _partitions(part)]
    return partition is None or not numbers or partition in numbers


_DULL = frozenset({"poll", "topic_id", "read", "membership", "flush"})


def _partitions(part: object) -> Sequence[int]:
    if isinstance(part, Mapping):
        return [one for one in part if isinstance(one, int)]
    if isinstance(part, (list, tuple)):
        return [one.partition if isinstance(one, Position) else one for one in part]
    return []


def _told(part: object) -> str:
    if isinstance(part, Mapping):
        return str(dict(part)) if part else ""
    if isinstance(part, (list, tuple)):
        return str([_told(one) for one in part]).replace("'", "")
    if isinstance(part, Position):
        return f"{part.partition}: {part.published_offset}..{part.next_offset} of {part.owner}"
    return str(part)
