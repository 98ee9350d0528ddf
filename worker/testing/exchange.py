"""Where events go in a broker: into buckets, to whom they are addressed, in the order in which they were published.

The worker's own step and routing decide what an orchestrator does with an event, and which of its events come back.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from worker.core.digests import content_digest
from worker.core.domains import DEFAULT_DOMAIN
from worker.core.errors import ArvoTransactionError, InvalidSubjectError, SetupError
from worker.core.events import Event
from worker.core.instances import Instance
from worker.core.outcomes import (
    Advanced,
    Cancelled,
    DeadLettered,
    DeadLetterReason,
    DomainedEvent,
    Duplicate,
    Failed,
    Ignored,
    IgnoredReason,
    Outcome,
)
from worker.core.routing import is_for_hosted
from worker.core.step import no_contract
from worker.core.subjects import decode_subject
from worker.orchestrator import Orchestrator
from worker.services.service import Service, concerned
from worker.testing.clock import Clock
from worker.testing.deliveries import DeadLetter, Delivery, Fault
from worker.testing.deployment import Deployment
from worker.testing.handlers import Handler
from worker.testing.local_memory import LocalMemory
from worker.testing.texts import closest

ATTEMPTS_MAX: Final = 5
"""How often an event is delivered while the memory fails; the worker goes on for ever."""


class BrokerError(Exception):
    """The broker is used wrongly, or what runs in it goes on for ever; the text says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bound what a broker does: deliveries of each event, deliveries that are due at a time, deliveries of one call."""

    copies: int
    queue_max: int
    deliveries_max: int


@dataclass(frozen=True, slots=True)
class _Due:
    """One delivery that is still to be made."""

    event: Event
    receiver: Orchestrator | Handler


class Exchange:
    """Deliver events until none is left, and keep a record of it."""

    def __init__(self, deployment: Deployment, clock: Clock, limits: Limits) -> None:
        self.deployment: Final = deployment
        self.published: Final[list[DomainedEvent]] = []
        self.waiting: Final[dict[str, list[Event]]] = {}
        self.deliveries: Final[list[Delivery]] = []
        self.dead_letters: Final[list[DeadLetter]] = []
        self.errors: Final[list[Fault]] = []
        self._clock: Final = clock
        self._limits: Final = limits
        self._handlers: Final[dict[str, list[Handler]]] = {}
        self._queue: Final[deque[_Due]] = deque()
        self._known: Final[set[object]] = set()
        self._made: Final[dict[object, _Due]] = {}
        self._is_running = False

    @property
    def domains(self) -> tuple[str, ...]:
        """Name the domains that something was published to, in order of first appearance."""
        return tuple(dict.fromkeys(domain for one in self.published for domain in one.domains))

    @property
    def sources(self) -> tuple[str, ...]:
        """Name everybody who is here."""
        return (*self._handlers, *self.deployment.sources)

    def has_handler(self, source: str) -> bool:
        """Tell whether a handler answers for this source."""
        return source in self._handlers

    def add_handler(self, handler: Handler) -> None:
        """Take a handler in, and queue what waits for it. Raises: SetupError, if its source is taken."""
        others = self._handlers.get(handler.source, [])
        if self.deployment.hosts(handler.source) or not _side_by_side([*others, handler]):
            raise SetupError(
                f"Only one subscriber allowed per topic: {handler.source}; the broker has one already. "
                "Look at `published` for what goes by."
            )
        self._handlers[handler.source] = [*others, handler]
        waiting = self.waiting.get(handler.domain, [])
        for event in [one for one in waiting if self._handler_of(one) is handler]:
            waiting.remove(event)
            self._enqueue(event, handler)

    def publish_from_outside(self, emitted: DomainedEvent) -> None:
        """Publish what no orchestrator emitted; nobody to deliver it to is an error. Raises: BrokerError."""
        event = emitted.event
        in_default = DEFAULT_DOMAIN in emitted.domains
        orchestrator = self._reader_of_input(emitted)
        if in_default and event.to is None and orchestrator is None:
            raise BrokerError(
                f'Event must have a "to" property, or a subject of an orchestrator that is here: {event.type} '
                "has neither."
            )
        if not self._publish(emitted, orchestrator) and in_default:
            self.errors.append(Fault(event, None, BrokerError(self._nobody(event))))

    def redeliver(self) -> tuple[Event, ...]:
        """Deliver everything once more, and give the events that were not published before."""
        known, first = set(self._known), len(self.published)
        self._queue.extend(self._made.values())
        self.run()
        return tuple(one.event for one in self.published[first:] if _key(one.event) not in known)

    def run(self) -> None:
        """Deliver until nothing is left; within a delivery, leave it to the run that is under way.

        Raises: BrokerError, for deliveries that go on for ever.
        """
        if self._is_running:
            return
        self._is_running = True
        try:
            for _ in range(self._limits.deliveries_max):
                if not self._queue:
                    return
                self._deliver(self._queue.popleft())
            if self._queue:
                raise BrokerError(
                    f"After {self._limits.deliveries_max} deliveries {len(self._queue)} are still due: the events go "
                    "round in a circle, or the bound deliveries_max is too low."
                )
        finally:
            self._is_running = False

    def orchestrator_of(self, subject: str) -> Orchestrator | None:
        """Find who has the instance of a subject."""
        try:
            return self.deployment.orchestrators.get(decode_subject(subject).name)
        except InvalidSubjectError:
            return None

    def instance(self, subject: str) -> Instance | None:
        """Give the record of an instance; nothing if it never was."""
        orchestrator = self.orchestrator_of(subject)
        if orchestrator is None:
            return None
        memory = orchestrator.memory
        return memory.kept(subject) if isinstance(memory, LocalMemory) else memory.read(subject)

    def _handler_of(self, event: Event) -> Handler | None:
        """Find the handler that an event is addressed to; of a service's versions, the one that it names."""
        listed = self._handlers.get(event.to or "", [])
        services = [one for one in listed if isinstance(one, Service)]
        return concerned(services, event) if services else next(iter(listed), None)

    def _reader_of_input(self, emitted: DomainedEvent) -> Orchestrator | None:
        """Find the orchestrator for what others publish: the worker goes by the subject, whatever `to` says."""
        if DEFAULT_DOMAIN not in emitted.domains:
            return None
        try:
            return self.deployment.orchestrators.get(decode_subject(emitted.event.subject).name)
        except InvalidSubjectError:
            # Whoever reads it puts it aside.
            return next(iter(self.deployment.orchestrators.values()), None)

    def _publish(self, emitted: DomainedEvent, orchestrator: Orchestrator | None) -> bool:
        """Put an event into its buckets and queue its deliveries; tell whether there is one. Raises: BrokerError."""
        event, handler = emitted.event, self._handler_of(emitted.event)
        receiver: Orchestrator | Handler | None = orchestrator
        taken_from = None if orchestrator is None else DEFAULT_DOMAIN
        if handler is not None and handler.domain in emitted.domains:
            receiver, taken_from = handler, handler.domain
        if receiver is not None:
            for _ in range(1 if _key(event) in self._known else self._limits.copies):
                self._enqueue(event, receiver)
        self.published.append(emitted)
        self._known.add(_key(event))
        for domain in emitted.domains:
            if domain != taken_from:
                self.waiting.setdefault(domain, []).append(event)
        return receiver is not None

    def _enqueue(self, event: Event, receiver: Orchestrator | Handler) -> None:
        if len(self._queue) >= self._limits.queue_max:
            raise BrokerError(
                f"Event queue is full (max size: {self._limits.queue_max}): {event.type} can't be published. "
                "Publish less at once, or give the broker another queue_max."
            )
        self._queue.append(_Due(event, receiver))

    def _deliver(self, due: _Due) -> None:
        self._made[_key(due.event), due.receiver.source] = due
        if isinstance(due.receiver, Orchestrator):
            self._execute(due.event, due.receiver)
        else:
            self._answer(due.event, due.receiver)

    def _answer(self, event: Event, handler: Handler) -> None:
        answers: tuple[DomainedEvent, ...] = ()
        try:
            answers = tuple(handler.answer(event, self._clock.milliseconds))
            for one in answers:
                self._publish(one, self._reader_of_input(one))
        except Exception as error:  # noqa: BLE001 - a handler may raise anything.
            self.errors.append(Fault(event, handler.source, error))
        self.deliveries.append(Delivery(event, handler.source, None, answers))

    def _execute(self, event: Event, orchestrator: Orchestrator) -> None:
        outcome = self._outcome(event, orchestrator)
        emitted = self._emitted(outcome, orchestrator)
        self.deliveries.append(Delivery(event, orchestrator.source, outcome, emitted))
        if isinstance(outcome, DeadLettered):
            letter = DeadLetter(event, outcome.reason, outcome.error_name, outcome.error_message)
            self.dead_letters.append(letter)
        for one in emitted:
            self._check_domains(one)
            receiver = one.event.to if is_for_hosted(one, self.deployment) else None
            self._publish(one, self.deployment.orchestrators[receiver] if receiver else None)

    def _emitted(self, outcome: Outcome | None, orchestrator: Orchestrator) -> tuple[DomainedEvent, ...]:
        match outcome:
            case Advanced(emitted=emitted):
                return emitted
            case Failed(emitted=one) | Cancelled(emitted=one):
                return (one,)
            case Duplicate(emitted=emitted) if not self.deployment.is_workers(orchestrator.source):
                # Who calls the library publishes the first result again; the worker's journal has seen to it.
                return emitted
            case _:
                return ()

    def _outcome(self, event: Event, orchestrator: Orchestrator) -> Outcome | None:
        """Execute an event, again while the memory fails; nothing came of it if that does not end."""
        try:
            decode_subject(event.subject)
        except InvalidSubjectError as error:
            return DeadLettered(DeadLetterReason.INVALID_SUBJECT, type(error).__name__, str(error))
        for _ in range(ATTEMPTS_MAX):
            try:
                outcome = orchestrator.outcome(event, self._clock.milliseconds)
            except ArvoTransactionError as error:
                self.errors.append(Fault(event, orchestrator.source, error))
            else:
                # Whose an event is that this orchestrator has no contract for, all who are here say together.
                is_foreign = outcome == Ignored(IgnoredReason.FOREIGN)
                return no_contract(self.deployment, event) if is_foreign else outcome
        return None

    def _check_domains(self, emitted: DomainedEvent) -> None:
        for domain in sorted(set(emitted.domains) - self.deployment.domains):
            text = (
                f"{emitted.event.source} emitted {emitted.event.type} to the domain {domain!r}, which no machine here "
                "declares: in the worker it has no topic, and the event that led to it becomes a dead letter NO_TOPIC. "
                "Name the domain in setup_machine(domains=[…])."
            )
            self.errors.append(Fault(emitted.event, None, BrokerError(text)))

    def _nobody(self, event: Event) -> str:
        near = closest(event.to or "", self.sources)
        return (
            f"No handlers registered for event type: {event.type}; it is addressed to {event.to!r}{near}, and the "
            f"broker has {', '.join(self.sources) or 'nobody'}."
        )


def _side_by_side(handlers: list[Handler]) -> bool:
    """Tell whether handlers may share a source: only the versions of a service do."""
    versions = [one.version for one in handlers if isinstance(one, Service)]
    return len(handlers) == 1 or len(handlers) == len(set(versions))


def _key(event: Event) -> object:
    """Tell events apart as the worker does: by subject, source and id, and by content."""
    return event.subject, event.source, event.id, content_digest(event)
