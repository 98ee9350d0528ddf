"""What happens to a call on its way: nothing mostly, else one of the fates that a table names, drawn by the seed."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from worker.ports import DatabaseUnavailable, KafkaUnavailable, PublicationUnknown

DATABASE: Final = frozenset(
    {
        "positions",
        "insert_positions",
        "claim",
        "release",
        "unpublished",
        "note_attempt",
        "lock",
        "read",
        "is_coming",
        "write",
        "commit",
    }
)
KAFKA: Final = frozenset({"poll", "topic_id", "standings", "replace", "fence"})
PUBLISHING: Final = frozenset({"send_offsets", "abort", "publish"})
LOCAL: Final = frozenset({"send", "flush", "go_on", "membership", "leave"})
"""Calls that a client answers by itself: they can't fail, but the process can die at them."""

CALL_SECONDS_MAX: Final = 30.0
"""After this the client gives a call up."""

POLL_SECONDS_MAX: Final = 0.1

LOCK_SECONDS_MAX: Final = 5.0
"""PostgreSQL's lock_timeout."""

LATE_SECONDS_MAX: Final = 20.0
"""How long a request may be on its way that its sender has given up."""


def error_of(name: str) -> Exception:
    """Give what a call raises that did not come back."""
    if name in DATABASE:
        return DatabaseUnavailable(f"{name}: the connection was lost")
    if name in PUBLISHING or name in LOCAL:
        return PublicationUnknown(f"{name}: the connection was lost")
    return KafkaUnavailable(f"{name}: the connection was lost")


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one call.

    `request_seconds` and `answer_seconds` are its ways, None: it never comes there. `given_up_seconds` is when the
    caller stops waiting. `kills` and `stops` say that the process dies, or stops for a while, `before` the call, when
    it is answered (`after`), or `under way`.
    """

    name: str
    request_seconds: float | None
    answer_seconds: float | None
    given_up_seconds: float = CALL_SECONDS_MAX
    kills: str = ""
    stops: str = ""


@dataclass
class Network:
    """Draw fates. `rates` says how often each comes, among all calls or `only` one's; `slowness` stretches ways."""

    random: Random
    rates: Mapping[str, float]
    only: str = ""
    is_calm: bool = False
    slowness: dict[str, float] = field(default_factory=lambda: {"database": 1.0, "kafka": 1.0})
    drawn: Counter[str] = field(default_factory=Counter)

    def fate(self, name: str) -> Fate:
        """Draw what happens to a call."""
        # Polling takes what a client has fetched already.
        slowness = 1.0 if name == "poll" else self.slowness["database" if name in DATABASE else "kafka"]
        out, back = (self.random.expovariate(1000.0) * slowness for _ in range(2))
        if name in LOCAL:
            out = back = 0.0
        kind = self._kind(name)
        if kind:
            self.drawn[kind] += 1
        fate = self._make(kind, out, back)
        # Polling asks nobody: what does not come is waited for no longer than that.
        return replace(fate, given_up_seconds=POLL_SECONDS_MAX) if name == "poll" else fate

    def stop_seconds(self) -> float:
        """Draw how long a process stops."""
        return self.random.choice([0.5, 3.0, 12.0, 40.0])

    def way(self) -> float:
        """Draw how long something that nobody waits for takes."""
        return self.random.expovariate(500.0) * self.slowness["kafka"]

    def _lateness(self) -> float:
        return min(self.random.expovariate(1.0 / self.random.choice([0.05, 1.0, 10.0])), LATE_SECONDS_MAX)

    def _kind(self, name: str) -> str:
        if self.is_calm or self.only not in ("", name):
            return ""
        at = self.random.random()
        for kind, rate in self.rates.items():
            at -= rate
            if at < 0:
                return kind if kind.startswith(("killed", "stopped")) or name not in LOCAL else ""
        return ""

    def _make(self, kind: str, out: float, back: float) -> Fate:
        # A connection that breaks is noticed at once; one that falls silent, by the time-out.
        noticed = self.random.choice([0.001, 0.05, CALL_SECONDS_MAX]) if kind in _UNANSWERED else CALL_SECONDS_MAX
        if kind == "request lost":
            return Fate(kind, None, None, noticed)
        if kind == "answer lost":
            return Fate(kind, out, None, max(noticed, out + 0.001))
        if kind == "applied late":
            return Fate(kind, noticed + self._lateness(), None, noticed)
        if kind == "slow":
            return Fate(kind, out + self.random.uniform(0.0, 5.0), back + self.random.uniform(0.0, 5.0))
        end, _, when = kind.partition(" ")
        return Fate(kind, out, back, kills=when * (end == "killed"), stops=when * (end == "stopped"))


_UNANSWERED: Final = frozenset({"request lost", "answer lost", "applied late"})
CALL_FAULTS: Final = (
    *sorted(_UNANSWERED),
    "slow",
    "stopped before",
    "stopped after",
    "killed before",
    "killed under way",
    "killed after",
)
