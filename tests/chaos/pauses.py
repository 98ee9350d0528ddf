"""How long nothing new was to be seen while there was work, and which fault that followed."""

from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from tests.chaos.nemesis import Struck

SHOWN_FROM_SECONDS = 0.2
AFTER_SECONDS = 1.0

IsIdle = Callable[[int, float, float], bool]
"""Tell whether a partition had nothing to do at some time between two."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A time without a newly visible output, of one partition or of all, in seconds since the epoch."""

    partition: int | None
    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


def pauses(seen_at: Mapping[int, Sequence[float]], is_idle: IsIdle) -> list[Pause]:
    """Give the pauses of each partition while it had work."""
    return [
        Pause(partition, start, end)
        for partition, times in seen_at.items()
        for start, end in pairwise(times)
        if end - start >= SHOWN_FROM_SECONDS and not is_idle(partition, start, end)
    ]


def whole_pauses(seen_at: Mapping[int, Sequence[float]], is_idle: IsIdle) -> list[Pause]:
    """Give the pauses in which no partition had an output, though one at least had work."""
    times = array("d", sorted({moment for moments in seen_at.values() for moment in moments}))
    return [
        Pause(None, start, end)
        for start, end in pairwise(times)
        if end - start >= SHOWN_FROM_SECONDS and not all(is_idle(one, start, end) for one in seen_at)
    ]


def longest(found: Sequence[Pause]) -> Pause | None:
    return max(found, key=lambda one: one.seconds, default=None)


def followed(pause: Pause, struck: Sequence[Struck]) -> list[Struck]:
    """Name the faults that a pause may be laid to: those that went on in it, or the last one before it."""
    during = [one for one in struck if one.begun <= pause.end and one.healed >= pause.start - AFTER_SECONDS]
    before = [one for one in struck if one.healed < pause.start]
    return during or sorted(before, key=lambda one: one.healed)[-1:]


@dataclass(frozen=True, slots=True)
class Effect:
    """What faults of one kind did that struck alone.

    `pauses` has the longest pause of a partition around each; `returns` how long after its end a new output came.
    """

    name: str
    count: int
    pauses: Sequence[float]
    returns: Sequence[float]

    def __str__(self) -> str:
        return (
            f"{self.name:<20} {self.count:>5} {len(self.returns):>6} {_middle(self.pauses)} {_most(self.pauses)} "
            f"{_middle(self.returns)} {_most(self.returns)}"
        )


HEAD = (
    f"{'fault':<20} {'times':>5} {'alone':>6} {'pause: median':>14} {'longest':>8} "
    f"{'return: median':>14} {'longest':>8}"
)


def effects(
    struck: Sequence[Struck], found: Sequence[Pause], seen_at: Mapping[int, Sequence[float]]
) -> Iterator[Effect]:
    """Give what each kind of fault did, by name."""
    by_name: defaultdict[str, list[Struck]] = defaultdict(list)
    for one in struck:
        by_name[one.name].append(one)
    for name, times in sorted(by_name.items()):
        alone = [one for one in times if not _overlaps(one, struck)]
        yield Effect(
            name,
            len(times),
            [_pause_around(one, found) for one in alone],
            [seconds for one in alone if (seconds := _return_after(one, seen_at)) is not None],
        )


def _overlaps(one: Struck, struck: Sequence[Struck]) -> bool:
    near = [
        other
        for other in struck
        if other.begun <= one.healed + AFTER_SECONDS and other.healed >= one.begun - AFTER_SECONDS
    ]
    return len(near) > 1


def _pause_around(one: Struck, found: Sequence[Pause]) -> float:
    around = [pause.seconds for pause in found if pause.start <= one.healed and pause.end >= one.begun]
    return max(around, default=0.0)


def _return_after(one: Struck, seen_at: Mapping[int, Sequence[float]]) -> float | None:
    nexts = [times[place] for times in seen_at.values() if (place := bisect_right(times, one.healed)) < len(times)]
    return min(nexts) - one.healed if nexts else None


def rate(samples: Sequence[tuple[float, int]]) -> float:
    """Give what was applied a second: samples are moments and what was applied by then."""
    if not samples:
        return 0.0
    (start, before), (_, after) = samples[0], samples[-1]
    end = next(moment for moment, applied in samples if applied == after)
    return (after - before) / max(end - start, 1.0)


def _middle(values: Sequence[float]) -> str:
    return f"{median(values):>12.1f} s" if values else f"{'–':>14}"


def _most(values: Sequence[float]) -> str:
    return f"{max(values):>6.1f} s" if values else f"{'–':>8}"
