"""Given, when, then: one machine, event by event, without services, memory or time of its own."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, Self

from worker.core.engine.api import Engine
from worker.core.errors import SetupError
from worker.core.events import Event
from worker.core.factories import system_error_data
from worker.core.instances import Instance, Status
from worker.core.machines import Machine
from worker.core.outcomes import Advanced, DeadLettered, Duplicate, Failed, Ignored, Outcome, Unexpected
from worker.testing.clock import Clock
from worker.testing.configurations import check_state
from worker.testing.events import EventMaker, merged, service_with_reply
from worker.testing.expectations import Expected, Wanted
from worker.testing.scenario_report import came_of, scenario_report, states_text
from worker.testing.steps import Step, Stepper
from worker.testing.texts import closest, data_text, difference, emitted_text, names_of


class Scenario:
    """Begin a test of one machine."""

    def __init__(self, machine: Machine, engine: Engine | None = None) -> None:
        """Take a machine, run by `engine` or as the worker runs it. Raises: SetupError, for anything else."""
        if not isinstance(machine, Machine):
            raise SetupError(f"A scenario is of one machine, not of a {type(machine).__name__}; use setup_machine.")
        self._machine = machine
        self._engine = engine

    def given(self, data: Mapping[str, Any] | None = None, /, **fields: Any) -> "Run":
        """Start an instance with this init data, which is sent as it is."""
        return Run(self._machine, merged(data, fields), self._engine)


class Run:
    """One instance: tell it what comes (`when`), and ask what it did (`then`); all give the run back.

    Every `then` is about the last event. One that was not taken has to be asked about: else the next `then` or `when`
    fails, and says what became of it.
    """

    def __init__(self, machine: Machine, init: Mapping[str, Any], engine: Engine | None = None) -> None:
        self.machine: Final = machine
        self.clock: Final = Clock()
        self._events: Final = EventMaker(self.clock)
        self._stepper: Final = Stepper(machine, engine)
        self._steps: list[Step] = []
        self._is_settled = True
        self._first: Final = self._events.start(machine.contract, init)
        self._run(self._first)

    def __repr__(self) -> str:
        return f"<Run of {self.machine.source} {self.machine.version} in {states_text(self.machine.chart, self.state)}>"

    def given_state(self, *names: str, **context: Any) -> Self:
        """Put the instance into these states, with these context variables, without the way there.

        The start has run, but what it emitted is forgotten; no code runs for the states. Ancestors are active too,
        and what is not named below them is in its initial state.
        Raises: SetupError, for states that the chart can't be in, or variables that it does not have.
        """
        __tracebackhide__ = True
        self._require_settled()
        self._stepper.place(names, context)
        told = f"put into {', '.join(names)} by the test{', with ' + data_text(context) if context else ''}"
        self._steps[-1] = replace(self._last, after=self.state, emitted=(), note=told)
        return self

    # When

    def when(self, event_type: str, data: Mapping[str, Any] | None = None, /, **fields: Any) -> Self:
        """Let the service that has this reply answer; the data is sent as it is.

        Raises: SetupError, for a type that no service of the machine answers with.
        """
        __tracebackhide__ = True
        return self.when_event(self.event(event_type, data, **fields))

    def when_error(self, service_type: str, message: str, name: str = "Error") -> Self:
        """Let a service fail: its system error event comes. Raises: SetupError, for a service that is none of its."""
        __tracebackhide__ = True
        types = [service.type for service in self.machine.services]
        if service_type not in types:
            raise SetupError(
                f"{self.machine.source} calls no service {service_type!r}{closest(service_type, types)}; "
                f"expected one of {', '.join(types) or '-'}."
            )
        return self.when(f"sys.{service_type}.error", system_error_data(name, message))

    def when_event(self, event: Event) -> Self:
        """Let an event come as it is."""
        __tracebackhide__ = True
        self._require_settled()
        self._run(event)
        return self

    def redeliver(self) -> Self:
        """Let the last event come a second time."""
        __tracebackhide__ = True
        return self.when_event(self._last.event)

    def advance(self, by: timedelta) -> Self:
        """Let time pass. Raises: ValueError, if it would go back."""
        self.clock.advance(by)
        return self

    def event(self, event_type: str, data: Mapping[str, Any] | None = None, /, **fields: Any) -> Event:
        """Make the event that `when` would send, to be changed and given to `when_event`. Raises: SetupError."""
        if event_type == self.machine.source:
            again = self._events.start(self.machine.contract, merged(data, fields))
            return replace(again, subject=self.subject)
        service = service_with_reply(self.machine.services, event_type)
        return self._events.reply(self._last_request(service.type), service, event_type, merged(data, fields))

    # Then

    def then(
        self,
        *,
        state: str | Iterable[str] | None = None,
        emitted: Sequence[Expected] | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Self:
        """Ask for active states, for the emitted events in their order, for some of the context.

        `emitted` leaves the completion out; see `then_completed`. A chart that ended is in the states it ended in.
        Raises: AssertionError.
        """
        __tracebackhide__ = True
        self._require_settled()
        if state is not None:
            self._then_in(names_of(state))
        if emitted is not None:
            self._then_emitted_all(emitted)
        if context is not None:
            self.then_context(context)
        return self

    def then_emitted(
        self,
        event_type: str,
        data: Mapping[str, Any] | None = None,
        /,
        *,
        domains: str | Iterable[str] | None = None,
        to: str | None = None,
        **fields: Any,
    ) -> Self:
        """Ask for an emitted event with at least this data, and exactly these domains.

        Data that is named `domains` or `to` is asked for in a mapping.
        Raises: AssertionError.
        """
        __tracebackhide__ = True
        self._require_settled()
        wanted = Wanted(event_type, merged(data, fields), None if domains is None else frozenset(names_of(domains)), to)
        found = [one for one in self._last.emitted if one.event.type == event_type]
        faults = [wanted.faults(one) for one in found]
        if not found:
            raise self._failure(
                f"{event_type} was not emitted{closest(event_type, self._emitted_types)}.", self._emitted_lines()
            )
        if all(faults):
            raise self._failure(f"{event_type} was emitted, but not as expected:", min(faults, key=len))
        return self

    def then_context(self, data: Mapping[str, Any] | None = None, /, **variables: Any) -> Self:
        """Ask for context variables; those that are not named may be anything. Raises: AssertionError."""
        __tracebackhide__ = True
        self._require_settled()
        faults = difference(merged(data, variables), self.context)
        if faults:
            raise self._failure("The context is not as expected:", faults)
        return self

    def then_waits_for(self, *event_types: str) -> Self:
        """Ask that the active states wait for these types, among others. Raises: AssertionError."""
        __tracebackhide__ = True
        self._require_settled()
        for event_type in event_types:
            if event_type not in self._stepper.expected:
                near = closest(event_type, self._stepper.expected)
                raise self._failure(f"Nothing waits for {event_type}{near}.")
        return self

    def then_completed(self, data: Mapping[str, Any] | None = None, /, **output: Any) -> Self:
        """Ask that the workflow completed, with at least this output. Raises: AssertionError."""
        __tracebackhide__ = True
        self._require_settled()
        completion = self.completion
        if completion is None:
            raise self._failure("The workflow did not complete with this event.")
        faults = difference(merged(data, output), completion.data)
        if faults:
            raise self._failure("The workflow completed, but not as expected:", faults)
        return self

    def then_failed(self, name: str | None = None, message: str | None = None) -> Self:
        """Ask that the event made the workflow fail: with an error of this name, with this in its message.

        The instance then stands where it stood, and a system error event tells who started it.
        Raises: AssertionError.
        """
        __tracebackhide__ = True
        outcome = self._last.outcome
        if not isinstance(outcome, Failed):
            raise self._otherwise("fail")
        if name is not None and outcome.error_name != name:
            raise self._failure(
                f"The event failed, with {outcome.error_name}; expected {name}.", [outcome.error_message]
            )
        if message is not None and message not in outcome.error_message:
            raise self._failure(
                "The event failed, with another message:", [f"expected {message!r} in it", outcome.error_message]
            )
        return self._settled()

    def then_unexpected(self) -> Self:
        """Ask that nothing in the active states waited for the event: it changed nothing. Raises: AssertionError."""
        __tracebackhide__ = True
        return self._then_outcome(Unexpected, "be unexpected")

    def then_duplicate(self) -> Self:
        """Ask that the event was dropped, since it was consumed before. Raises: AssertionError."""
        __tracebackhide__ = True
        return self._then_outcome(Duplicate, "be dropped as a duplicate")

    def then_ignored(self) -> Self:
        """Ask that the event was left alone: the workflow had ended, or is another's. Raises: AssertionError."""
        __tracebackhide__ = True
        return self._then_outcome(Ignored, "be ignored")

    def then_dead_letter(self, reason: str | None = None) -> Self:
        """Ask that the worker would put the event aside, for this reason. Raises: AssertionError."""
        __tracebackhide__ = True
        outcome = self._last.outcome
        if not isinstance(outcome, DeadLettered):
            raise self._otherwise("become a dead letter")
        if reason is not None and outcome.reason != reason:
            raise self._failure(f"The event became a dead letter {outcome.reason.value}; expected {reason}.")
        return self._settled()

    # What there is

    @property
    def subject(self) -> str:
        """Name the instance."""
        return self._first.subject

    @property
    def now(self) -> datetime:
        """Give the time, as the chart's next event sees it."""
        return self.clock.now

    @property
    def instance(self) -> Instance | None:
        """Give the instance record; nothing if the start failed."""
        return self._stepper.instance

    @property
    def state(self) -> tuple[str, ...]:
        """Name the active states, the root first; once the workflow has ended, those that it ended in."""
        return self._stepper.active

    @property
    def context(self) -> Mapping[str, Any]:
        """Give the context."""
        return dict(self.instance.snapshot.context) if self.instance else {}

    @property
    def emitted(self) -> tuple[Event, ...]:
        """Give the events that the last event made the machine emit, without the completion."""
        return tuple(one.event for one in self._last.emitted)

    @property
    def completion(self) -> Event | None:
        """Give the event that the workflow completed with at the last event, if it did."""
        outcome = self._last.outcome
        if isinstance(outcome, Advanced) and outcome.instance.status is Status.DONE:
            return outcome.emitted[-1].event
        return None

    @property
    def outcome(self) -> Outcome:
        """Give what came of the last event."""
        return self._last.outcome

    @property
    def steps(self) -> tuple[Step, ...]:
        """Give all steps, in order."""
        return tuple(self._steps)

    def report(self) -> str:
        """Write down where the machine stands and what happened, for a person."""
        return scenario_report(self.machine, self.instance, self._steps, self._stepper.expected)

    # Inside

    @property
    def _last(self) -> Step:
        return self._steps[-1]

    @property
    def _emitted_types(self) -> list[str]:
        return [one.event.type for one in self._last.emitted]

    def _run(self, event: Event) -> None:
        step = self._stepper.run(event, self.clock.milliseconds)
        self._steps.append(step)
        self._is_settled = isinstance(step.outcome, Advanced)

    def _last_request(self, event_type: str) -> Event:
        """Find what an answer of this service answers; an answer that nobody asked for follows the last event."""
        for step in reversed(self._steps):
            for one in step.emitted:
                if one.event.type == event_type:
                    return one.event
        return replace(self._first, id=self._last.event.id, data={}, redirectto=self.machine.source)

    def _settled(self) -> Self:
        self._is_settled = True
        return self

    def _require_settled(self) -> None:
        __tracebackhide__ = True
        if not self._is_settled:
            raise self._failure(
                f"{self._last.event.type} was not taken: {came_of(self.machine.chart, self._last)}.",
                ["Say so with then_failed, then_unexpected, then_duplicate, … if that is meant."],
            )

    def _then_in(self, names: tuple[str, ...]) -> None:
        __tracebackhide__ = True
        missing = sorted(check_state(self.machine.chart, name) for name in names if name not in self.state)
        if missing:
            where = states_text(self.machine.chart, self.state)
            raise self._failure(f"Expected in {', '.join(missing)}; it is in {where}.")

    def _then_emitted_all(self, expected: Sequence[Expected]) -> None:
        __tracebackhide__ = True
        wanted = [Wanted.of(one) for one in expected]
        if [one.type for one in wanted] != self._emitted_types:
            listed = ", ".join(one.type for one in wanted) or "nothing"
            raise self._failure(f"Expected to emit {listed}.", self._emitted_lines())
        for one, emitted in zip(wanted, self._last.emitted, strict=True):
            faults = one.faults(emitted)
            if faults:
                raise self._failure(f"{one.type} was emitted, but not as expected:", faults)

    def _then_outcome(self, kind: type[Outcome], words: str) -> Self:
        __tracebackhide__ = True
        if not isinstance(self._last.outcome, kind):
            raise self._otherwise(words)
        return self._settled()

    def _otherwise(self, words: str) -> AssertionError:
        return self._failure(f"Expected {self._last.event.type} to {words}: {came_of(self.machine.chart, self._last)}.")

    def _emitted_lines(self) -> list[str]:
        return ["emitted: " + emitted_text(one) for one in self._last.emitted] or ["emitted: nothing"]

    def _failure(self, headline: str, details: Sequence[str] = ()) -> AssertionError:
        lines = [headline, *(f"    {line}" for line in details), "", self.report()]
        return AssertionError("\n".join(lines))
