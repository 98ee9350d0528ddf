"""What stands behind a type of event in a broker: a service, or a function of the test's own."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from worker.core.domains import DEFAULT_DOMAIN
from worker.core.events import Event
from worker.core.outcomes import DomainedEvent

Answers: TypeAlias = Event | DomainedEvent | Iterable[Event | DomainedEvent] | None
"""What a function may give back: nothing, one event, or several; an event alone goes to `default`."""

HandlerFunction: TypeAlias = Callable[[Event], Answers]


@runtime_checkable
class Handler(Protocol):
    """Answer the events that are addressed to `source` in the bucket of `domain`; `service` makes such."""

    @property
    def source(self) -> str:
        """Name the handler: the `to` of the events that it gets."""
        ...

    @property
    def domain(self) -> str:
        """Name the one domain whose bucket it reads."""
        ...

    def answer(self, event: Event, now: int) -> tuple[DomainedEvent, ...]:
        """Answer an event, at a time in milliseconds since the epoch."""
        ...


@dataclass(frozen=True, slots=True)
class FunctionHandler:
    """Make a handler of a plain function."""

    source: str
    domain: str
    function: HandlerFunction

    def answer(self, event: Event, now: int) -> tuple[DomainedEvent, ...]:  # noqa: ARG002 - a function has the broker's.
        """Call the function. Raises: TypeError, for what is no event, and whatever the function raises."""
        return domained(self.function(event), self.source)


def domained(answers: Answers, source: str) -> tuple[DomainedEvent, ...]:
    """Give what a function answered with, in one form. Raises: TypeError."""
    if answers is None:
        return ()
    listed = answers if isinstance(answers, Iterable) and not isinstance(answers, (str, Mapping)) else (answers,)
    return tuple(_domained(one, source) for one in listed)


def _domained(answer: object, source: str) -> DomainedEvent:
    match answer:
        case DomainedEvent():
            return answer
        case Event():
            return DomainedEvent(answer, (DEFAULT_DOMAIN,))
        case _:
            raise TypeError(
                f"The handler of {source} answered with a {type(answer).__name__}; expected None, an Event, "
                "or a list of events."
            )
