"""An in-process broker: orchestrators, services and functions that answer each other until nothing is left to do.

It goes by the worker's own step and routing, on a clock that stands still. It knows no topics, partitions and offsets:
events are delivered one by one, in the order in which they were published.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from worker.core.contracts import ContractVersion
from worker.core.digests import DerivedIds
from worker.core.domains import DEFAULT_DOMAIN, check_domain, unique_domains
from worker.core.engine.api import Engine
from worker.core.errors import SetupError
from worker.core.events import Event
from worker.core.instances import Instance
from worker.core.machines import Machine
from worker.core.outcomes import Advanced, DomainedEvent
from worker.orchestrator import Orchestrator
from worker.testing.broker_report import broker_report
from worker.testing.clock import Clock
from worker.testing.deliveries import DeadLetter, Delivery, Fault
from worker.testing.deployment import Deployment
from worker.testing.events import EventMaker, merged, service_with_reply
from worker.testing.exchange import BrokerError, Exchange, Limits
from worker.testing.handlers import FunctionHandler, Handler, HandlerFunction
from worker.testing.local_memory import LocalMemory
from worker.testing.texts import closest, names_of

__all__ = ["COPIES_MAX", "DELIVERIES_MAX", "QUEUE_MAX", "BrokerError", "LocalBroker"]

QUEUE_MAX: Final = 1_000
"""How many deliveries may be due at a time."""

DELIVERIES_MAX: Final = 10_000
"""How many deliveries one call may lead to: more is a workflow that goes round in a circle."""

COPIES_MAX: Final = 10
"""How often one event may be delivered."""


class LocalBroker:
    """Run workflows in this process, on a clock that stands still, until nothing is left to deliver.

    Its parts are machines, orchestrators (with memories of their own), and services. Machines share `memory`, which
    knows which events it consumed, as the worker's does.

    An event goes to the bucket of each of its domains. From `default` it is delivered to the orchestrator or service
    that its `to` names; from another domain, to the service that reads that domain. What nobody takes waits in its
    bucket: for the test's `reply`, or for a service that comes later.
    """

    def __init__(
        self,
        *parts: Machine | Orchestrator | Handler,
        copies: int = 1,
        queue_max: int = QUEUE_MAX,
        deliveries_max: int = DELIVERIES_MAX,
        engine: Engine | None = None,
    ) -> None:
        """Put the parts together. `engine` runs the machines; without one they run as the worker runs them.

        With 2 `copies` each event is delivered twice, as at-least-once delivery may do at any time.
        Raises: SetupError, for what is no part, or a source that two parts have.
        """
        if not 1 <= copies <= COPIES_MAX:
            raise SetupError(f"The broker delivers {copies} copies of each event; expected 1 to {COPIES_MAX}.")
        self.clock: Final = Clock()
        self.memory: Final = LocalMemory()
        self._events: Final = EventMaker(self.clock)
        limits = Limits(copies, queue_max, deliveries_max)
        self._exchange: Final = Exchange(Deployment(self.memory, engine), self.clock, limits)
        self.add(*parts)

    def __repr__(self) -> str:
        waiting = sum(map(len, self._exchange.waiting.values()))
        return f"<LocalBroker: {len(self.published)} published, {waiting} waiting, {len(self.errors)} errors>"

    def add(self, *parts: Machine | Orchestrator | Handler) -> None:
        """Take parts in, and deliver what waits for them. Raises: SetupError."""
        for part in parts:
            match part:
                case Machine() | Orchestrator():
                    self._host(part)
                case Handler():
                    self._exchange.add_handler(part)
                case _:
                    raise SetupError(
                        f"A broker has machines, orchestrators and services, and a {type(part).__name__} is none; "
                        "give a function to subscribe, with the type of event that it answers."
                    )
        self._run()

    def subscribe(self, event_type: str, function: HandlerFunction, domain: str = DEFAULT_DOMAIN) -> None:
        """Have a function answer the events that are addressed to `event_type` in a domain's bucket.

        It gives back nothing, an event or several, or calls `publish` itself.
        Raises: SetupError, if somebody has this type already; ValueError, for what is no domain.
        """
        self.add(FunctionHandler(event_type, check_domain(domain), function))

    def stub(self, event_type: str, reply_type: str, data: Mapping[str, Any], domain: str = DEFAULT_DOMAIN) -> None:
        """Have every request of a type answered in the same way. Raises: SetupError, as `subscribe` does."""

        def answer(request: Event) -> Event:
            # The second answer to a request is the same event as the first, as a good service's is.
            return replace(self._answer(request, reply_type, data), id=DerivedIds(request).emission(0))

        self.subscribe(event_type, answer, domain)

    def start(
        self, machine: Machine | ContractVersion, data: Mapping[str, Any] | None = None, /, **fields: Any
    ) -> Event:
        """Start a workflow with this init data, run it as far as it goes, and give the event that started it.

        The data is sent as it is: what breaks the contract becomes a system error event, as in the worker.
        Raises: BrokerError, as `publish` does.
        """
        contract = machine.contract if isinstance(machine, Machine) else machine
        event = self._events.start(contract, merged(data, fields))
        self.publish(event)
        return event

    def reply(self, request: Event, reply_type: str, data: Mapping[str, Any] | None = None, /, **fields: Any) -> Event:
        """Answer an orchestrator's request as its service would, run on, and give the answer; data is sent as it is.

        Raises: SetupError, if no orchestrator here sent the request, or its service has no such reply; BrokerError,
        as `publish` does.
        """
        event = self._answer(request, reply_type, merged(data, fields))
        for waiting in self._exchange.waiting.values():
            if request in waiting:
                waiting.remove(request)
        self.publish(event)
        return event

    def cancel(self, started: Event | str, reason: str = "", by: str = "an operator") -> None:
        """Cancel an instance, by an event of it or its subject, as `worker instances cancel` does, and run on.

        Whoever started it gets a system error event; what it started goes on.
        Raises: InvalidControlError, for a reason that is too long; BrokerError, as `publish` does.
        """
        self.publish(self._events.cancel(_subject_of(started), reason, by))

    def publish(self, *events: Event, domains: str | Iterable[str] = DEFAULT_DOMAIN) -> None:
        """Publish events, and deliver until nothing is left; a function that calls it is run to its end first.

        What goes wrong with a delivery is found in `errors`, what the worker would put aside in `dead_letters`.
        Raises: TypeError, for what is no event; ValueError, for what is no domain; BrokerError, for an event that
        says nothing of its receiver, a full queue, or deliveries that go on for ever.
        """
        named = unique_domains(names_of(domains)) or (DEFAULT_DOMAIN,)
        for event in events:
            if not isinstance(event, Event):
                raise TypeError(f"publish takes an Event, not a {type(event).__name__}; make one with create_event.")
            self._exchange.publish_from_outside(DomainedEvent(event, named))
        self._run()

    def redeliver(self) -> tuple[Event, ...]:
        """Deliver everything again, in the order of the first time, and give the events that only this led to.

        Where everything is idempotent there are none: second answers have the ids and the content of the first.
        Raises: BrokerError, as `publish` does.
        """
        return self._exchange.redeliver()

    @property
    def now(self) -> datetime:
        """Give the time: `now` in charts, and the time of events."""
        return self.clock.now

    def advance(self, by: timedelta) -> None:
        """Let time pass. Raises: ValueError, if it would go back."""
        self.clock.advance(by)

    @property
    def published(self) -> tuple[Event, ...]:
        """Give every event that was published, in order."""
        return tuple(one.event for one in self._exchange.published)

    @property
    def domains(self) -> tuple[str, ...]:
        """Name the domains that something was published to, in order of first appearance."""
        return self._exchange.domains

    def bucket(self, domain: str = DEFAULT_DOMAIN) -> tuple[Event, ...]:
        """Give every event that was published to a domain, in order."""
        return tuple(one.event for one in self._exchange.published if domain in one.domains)

    def waiting(self, domain: str = DEFAULT_DOMAIN) -> tuple[Event, ...]:
        """Give the events of a domain's bucket that nobody here has taken, in order."""
        return tuple(self._exchange.waiting.get(domain, ()))

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """Give every delivery, in order, with what came of it."""
        return tuple(self._exchange.deliveries)

    @property
    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """Give the events that the worker would put on its dead letter topic, in order."""
        return tuple(self._exchange.dead_letters)

    @property
    def errors(self) -> tuple[Fault, ...]:
        """Give what went wrong with deliveries: functions that raised, memories that failed, nobody to deliver to."""
        return tuple(self._exchange.errors)

    def instance(self, started: Event | str) -> Instance | None:
        """Give the record of an instance, by an event of it or its subject; nothing if it never was."""
        return self._exchange.instance(_subject_of(started))

    def completion(self, started: Event | str) -> Event:
        """Give the event that an instance completed with, by an event of it or its subject.

        Raises: AssertionError, which shows where it stands instead.
        """
        __tracebackhide__ = True
        subject = _subject_of(started)
        for delivery in self._exchange.deliveries:
            completion = self._completion_in(delivery) if delivery.event.subject == subject else None
            if completion is not None:
                return completion
        raise AssertionError(f"The workflow did not complete.\n{self.report(subject)}")

    def report(self, subject: str | None = None) -> str:
        """Write down what happened, for a person; with a subject, also where that instance stands."""
        return broker_report(self._exchange, subject)

    def _host(self, part: Machine | Orchestrator) -> None:
        if self._exchange.has_handler(part.source):
            raise SetupError(f"{part.source} is an orchestrator, and a service answers for it already; leave one out.")
        if isinstance(part, Machine):
            self._exchange.deployment.add_machine(part)
        else:
            self._exchange.deployment.add_orchestrator(part)

    def _run(self) -> None:
        try:
            self._exchange.run()
        except BrokerError as error:
            raise BrokerError(f"{error}\n{self.report()}") from None

    def _answer(self, request: Event, reply_type: str, data: Mapping[str, Any]) -> Event:
        deployment = self._exchange.deployment
        machines = [one for one in deployment.machines if one.source == request.source]
        services = [service for one in machines for service in one.services if service.type == request.type]
        if not services:
            near = closest(request.source, deployment.sources)
            raise SetupError(
                f"No orchestrator here calls {request.type!r} as {request.source!r}{near}; "
                "publish an event of your own as the answer."
            )
        # Machines of two versions may call two versions of a service.
        exact = [service for service in services if service.dataschema == request.dataschema]
        return self._events.reply(request, service_with_reply(exact or services, reply_type), reply_type, data)

    def _completion_in(self, delivery: Delivery) -> Event | None:
        if not isinstance(delivery.outcome, Advanced):
            return None
        instance = delivery.outcome.instance
        hosted = self._exchange.deployment.resolve(instance.source, instance.version)
        complete_type = hosted.machine.contract.complete_type if hosted else None
        return next((one.event for one in delivery.published if one.event.type == complete_type), None)


def _subject_of(started: Event | str) -> str:
    return started.subject if isinstance(started, Event) else started
