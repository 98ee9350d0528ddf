"""Run an instance's journal again through the core, and compare what comes of it with what was kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tests.chaos.checker import Violation
from tests.chaos.records import Place, text_digest
from worker.core.codec import decode_record
from worker.core.digests import content_digest
from worker.core.instances import Instance
from worker.core.outcomes import (
    CONSUMING,
    Advanced,
    Cancelled,
    DeadLettered,
    Duplicate,
    Failed,
    Ignored,
    Outcome,
    Unexpected,
)
from worker.core.records import Headers, Output
from worker.core.routing import Router
from worker.core.snapshots import decode_snapshot, encode_snapshot
from worker.core.step import Host, StepRequest, run_step
from worker.core.subjects import decode_subject

OUTCOMES: dict[type[Outcome], str] = {
    Advanced: "advanced",
    Cancelled: "cancelled",
    DeadLettered: "dead_lettered",
    Duplicate: "duplicate",
    Failed: "failed",
    Ignored: "ignored",
    Unexpected: "unexpected",
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the journal keeps of one event of an instance; `now` is the time of its step."""

    place: Place
    value: bytes
    headers: Headers
    now: int
    outcome: str
    outputs: tuple[Output, ...]


def stored_again(instance: Instance) -> Instance:
    """Give an instance as it is after it was stored and read."""
    return replace(instance, snapshot=decode_snapshot(encode_snapshot(instance.snapshot)))


@dataclass(frozen=True, slots=True)
class Replayer:
    """Run journals again, with the machines that the workers had."""

    host: Host
    router: Router

    def violations(self, recorded: Sequence[Recorded], stored: Instance | None) -> Iterator[Violation]:
        """Compare the replay of all events of one instance, in order, with journal and instance."""
        instance: Instance | None = None
        seen: dict[tuple[str, str], bytes] = {}
        for one in recorded:
            event = decode_record(one.value, one.headers)
            known = seen.get((event.source, event.id))
            outcome = run_step(self.host, StepRequest(event, decode_subject(event.subject), instance, known, one.now))
            yield from self._differences(one, event.subject, outcome)
            if isinstance(outcome, Advanced | Cancelled):
                instance = stored_again(outcome.instance)
            if isinstance(outcome, CONSUMING):
                seen[event.source, event.id] = content_digest(event)
        present = instance or stored
        if instance != stored and present is not None:
            named = text_digest(present.subject.encode())
            place = recorded[-1].place if recorded else None
            yield Violation("wrong state", "the instance is not what its journal gives when run again", place, named)

    def _differences(self, one: Recorded, subject: str, outcome: Outcome) -> Iterator[Violation]:
        named = text_digest(subject.encode())
        if OUTCOMES[type(outcome)] != one.outcome:
            text = f"run again it is {OUTCOMES[type(outcome)]}, in the journal {one.outcome}"
            yield Violation("wrong state", text, one.place, named)
        # A dead letter's headers tell the time of its worker.
        elif not isinstance(outcome, DeadLettered) and self._outputs(outcome) != one.outputs:
            yield Violation("wrong state", "run again it has other outputs than in the journal", one.place, named)

    def _outputs(self, outcome: Outcome) -> tuple[Output, ...]:
        match outcome:
            case Advanced(emitted=emitted):
                return self.router.outputs(emitted)
            case Failed(emitted=emitted) | Cancelled(emitted=emitted):
                return self.router.outputs((emitted,))
            case _:
                return ()
