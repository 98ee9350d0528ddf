"""Give the horizontal parts of the lines in one channel a track each, so that they do not touch and few cross."""

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeVar

_TOUCHING: Final = 5.0
_TOUCH_COST: Final = 100

_Line = TypeVar("_Line")


class Bend(NamedTuple):
    """A line that comes into a channel from above at some x, and leaves it below at others: mostly one of each."""

    uppers: tuple[float, ...]
    lowers: tuple[float, ...]

    @property
    def left(self) -> float:
        """Give where its horizontal part begins."""
        return min(self.uppers + self.lowers)

    @property
    def right(self) -> float:
        """Give where its horizontal part ends."""
        return max(self.uppers + self.lowers)

    def meets(self, other: "Bend") -> bool:
        """Tell whether the two could not be on one track."""
        return self.left - _TOUCHING < other.right and other.left - _TOUCHING < self.right

    def cost_above(self, other: "Bend") -> int:
        """Count what goes wrong if this is on a track above the other's: crossings, and lines on each other."""
        crossed = sum(other.left < x < other.right for x in self.lowers)
        crossing = sum(self.left < x < self.right for x in other.uppers)
        touching = sum(abs(ours - theirs) < _TOUCHING for ours in self.lowers for theirs in other.uppers)
        return crossed + crossing + _TOUCH_COST * touching


def choose_tracks(bends: Mapping[_Line, Bend]) -> dict[_Line, int]:
    """Give each line its track, from 0 at the top."""
    lines = sorted(bends, key=lambda line: bends[line])
    above: dict[_Line, dict[_Line, int]] = {line: {} for line in lines}
    for number, line in enumerate(lines):
        for other in lines[number + 1 :]:
            if bends[line].meets(bends[other]):
                difference = bends[other].cost_above(bends[line]) - bends[line].cost_above(bends[other])
                upper, lower = (line, other) if difference >= 0 else (other, line)
                above[lower][upper] = abs(difference)
    tracks: dict[_Line, int] = {}
    waiting = list(lines)
    while waiting:
        # Whatever stands above it comes first; if that leads round in a circle, what is lost is least.
        line = min(waiting, key=lambda one: sum(cost + 1 for other, cost in above[one].items() if other not in tracks))
        waiting.remove(line)
        met = [track for other, track in tracks.items() if bends[other].meets(bends[line])]
        tracks[line] = max(met, default=-1) + 1
    return tracks
