"""The spans of one step, told by its progress."""

import time
from collections.abc import Callable
from typing import Final

from opentelemetry.trace import Span, Tracer

from worker.core.events import Event
from worker.core.machines import Machine
from worker.core.outcomes import Advanced, Cancelled, DeadLettered, DomainedEvent, Failed, Outcome, Unexpected
from worker.core.progress import Emitted, Emitting, Executing, Failing, Progress, Resolving, Telling, Validating
from worker.core.subjects import SubjectContent
from worker.tracing.attributes import event_attributes
from worker.tracing.spans import Attributes, CurrentSpan, end_well, record_failure, start_internal

# An SDK keeps 128 attributes of a span unless told otherwise, and drops the first ones beyond.
_DESCRIBED_MAX: Final = 8


class StepSpans:
    """Follow one step, and put a span around each thing that it does, below `span`, which is the current one.

    `tracer` makes the spans; none: the application's.
    """

    def __init__(self, span: Span, event: Event, subject: SubjectContent, tracer: Tracer | None = None) -> None:
        self._span = span
        self._event = event
        self._subject = subject
        self._tracer = tracer
        self._open: CurrentSpan | None = None
        self._failing: Machine | None = None
        self._told_at = 0

    def follow(self, step: Callable[[Telling], Outcome]) -> Outcome:
        """Run the step, which tells how far it has come, and give what came of it."""
        try:
            outcome = step(self.tell)
        except BaseException as error:
            self._close(type(error).__name__, str(error), error)
            raise
        self.end(outcome)
        return outcome

    def tell(self, progress: Progress) -> None:
        """Know how far the step has come."""
        match progress:
            case Resolving():
                self._begin("Resolve Machine", {**event_attributes(self._event), **self._named()})
            case Validating():
                self._begin("Validate Event", event_attributes(self._event))
            case Executing(machine):
                named = {"arvo.machine.type": machine.source, "arvo.machine.version": machine.version}
                self._begin("Execute Machine", {**named, **event_attributes(self._event)})
            case Emitting():
                self._close()
            case Emitted(event):
                self._made(f"createArvoEvent<{event.type}>", event_attributes(event))
            case Failing(machine, failure):
                self._close(failure.name, failure.message, failure)
                record_failure(self._span, failure.name, failure.message, failure)
                self._failing = machine
        self._told_at = time.time_ns()

    def end(self, outcome: Outcome) -> None:
        """Know what came of the step; a failure may have been found after it."""
        match outcome:
            case Advanced(instance=instance, emitted=emitted):
                self._span.set_attributes({"arvo.orchestration.status": instance.status.value, **_described(emitted)})
            case Unexpected(instance=instance):
                self._close()
                self._span.set_attribute("arvo.orchestration.status", instance.status.value)
            case Failed(emitted=emitted) if self._failing is not None:
                self._made_error(self._failing, emitted.event)
            case Failed(error_name=name, error_message=message):
                self._close()
                record_failure(self._span, name, message)
            case Cancelled(instance=instance, emitted=emitted):
                self._close()
                described = _described((emitted,))
                self._span.set_attributes({"arvo.orchestration.status": instance.status.value, **described})
            case DeadLettered(error_name=name, error_message=message):
                self._close(name, message)
            case _:
                self._close()

    def _begin(self, name: str, attributes: Attributes) -> None:
        self._close()
        self._open = CurrentSpan(start_internal(name, attributes, tracer=self._tracer))
        self._open.__enter__()

    def _close(self, name: str | None = None, message: str = "", error: BaseException | None = None) -> None:
        """End what is open: well, or as a failure with a name."""
        current, self._open = self._open, None
        if current is None:
            return
        current.__exit__(None, None, None)
        if name is None:
            end_well(current.span)
            return
        record_failure(current.span, name, message, error)
        current.span.end()

    def _made(self, name: str, attributes: Attributes) -> None:
        """Record what began when the step was last heard of, and has ended."""
        end_well(start_internal(name, attributes, self._told_at, self._tracer))

    def _made_error(self, machine: Machine, event: Event) -> None:
        of_contract = {"arvo.contract.uri": machine.contract.uri, "arvo.contract.version": machine.contract.version}
        attributes = {"openinference.span.kind": "INTERNAL", **of_contract, **event_attributes(event)}
        self._made("ArvoOrchestratorEventFactory.systemError", attributes)
        self._span.set_attributes(event_attributes(event, "to_emit.0."))

    def _named(self) -> dict[str, str]:
        name = "arvo.parsed.subject.orchestrator"
        return {f"{name}.name": self._subject.name, f"{name}.version": self._subject.version}


def _described(emitted: tuple[DomainedEvent, ...]) -> dict[str, str | float]:
    """Give the attributes of the first events; each has a span of its own that has them too."""
    attributes: dict[str, str | float] = {}
    for index, one in enumerate(emitted[:_DESCRIBED_MAX]):
        prefix = f"to_emit.{index}."
        attributes |= event_attributes(one.event, prefix)
        attributes |= {f"{prefix}domains.{place}": domain for place, domain in enumerate(one.domains)}
    return attributes
