"""What one execution gives back: the emitted events, sorted into the domains that they go to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from worker.core.domains import DEFAULT_DOMAIN
from worker.core.events import Event
from worker.core.outcomes import DomainedEvent

ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """The events that one execution emitted, each list in order of emission.

    `events` are those of the domain `default`. `all_event_domains` stand in order of first appearance.
    `domained_events` has `all`, and one list for each of these domains; an event of several domains is in each.
    """

    events: tuple[Event, ...]
    all_event_domains: tuple[str, ...]
    domained_events: Mapping[str, tuple[Event, ...]]

    @classmethod
    def of(cls, emitted: Iterable[DomainedEvent] = ()) -> Self:
        """Sort emitted events into their domains."""
        every: list[Event] = []
        buckets: dict[str, list[Event]] = {}
        for one in emitted:
            every.append(one.event)
            for domain in one.domains:
                buckets.setdefault(domain, []).append(one.event)
        domained = {name: tuple(events) for name, events in buckets.items()}
        return cls(domained.get(DEFAULT_DOMAIN, ()), tuple(buckets), {ALL: tuple(every), **domained})
