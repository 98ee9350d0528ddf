"""What each reason of a dead letter means, and what to do: texts for `worker dead-letters show` and its page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Advice:
    """Say what happened, and what helps."""

    meaning: str
    remedy: str


ADVICE: Final[Mapping[str, Advice]] = {
    "INVALID_EVENT": Advice(
        "The record is no event: no JSON, or an attribute of CloudEvents is missing or wrong.",
        "Correct the producer and have it send the event anew. The same bytes fail again.",
    ),
    "INVALID_CONTROL": Advice(
        "The record is an operator's command, and breaks its rules; or the command is none that this worker knows.",
        "If a newer version knows it, deploy that, then redrive. Else give it anew, by `worker instances cancel`.",
    ),
    "INVALID_SUBJECT": Advice(
        "The event's subject can't be decoded, so that nobody knows its instance.",
        "Correct the producer: replies carry the subject of their request as it came. The same bytes fail again.",
    ),
    "ID_CONFLICT": Advice(
        "An event with the same subject, source and id was consumed before, with other content.",
        "Have the producer send it with an id of its own. The same bytes fail again.",
    ),
    "NO_INSTANCE": Advice(
        "No instance has this subject, and the event does not start one; or it was removed after its end.",
        "Look for the instance's first event. If it came later, redrive; if it is a dead letter too, redrive it first.",
    ),
    "ALREADY_STARTED": Advice(
        "An init event with another id for an instance that exists; the instance was not touched.",
        "Nothing, if it was sent twice. Else start another execution, with a subject of its own.",
    ),
    "NO_MACHINE": Advice(
        "No machine of that name and version is there.",
        "Deploy that version, then redrive; or correct the producer's subject.",
    ),
    "NO_CONTRACT": Advice(
        "It is addressed to a machine of ours, and no contract of that machine emits its type.",
        "Deploy a version that takes it under the same number, then redrive; or correct the producer's type or `to`.",
    ),
    "NO_TOPIC": Advice(
        "The machine emitted into a domain whose topic is not there, or that no machine declares.",
        "Create the topic, declare the domain in the machine, restart the workers, then redrive.",
    ),
    "OUTPUT_REFUSED": Advice(
        "A broker refused an event that a machine emitted, for good; the instance went on. This is that event.",
        "Give its topic the right or the size that is missing, then redrive: it goes to that topic.",
    ),
    "STEP_FAULT": Advice(
        "The step failed as no workflow does: a fault of the worker's, or of a part of one's own.",
        "The worker's log has the trace (`step_fault`). Mend it and deploy, then redrive.",
    ),
    "STORAGE_REFUSED": Advice(
        "PostgreSQL refuses what the step would keep.",
        "The error says what it refuses. Mend the machine or the database, then redrive.",
    ),
    "CRASHED": Advice(
        "Workers died again and again while they ran this record: of its step's time limit, of memory, of a crash.",
        "The workers' last log lines, and the system's, say of what. Mend it and deploy, then redrive.",
    ),
}
"""By reason, in the order in which they are explained."""

UNKNOWN: Final = Advice(
    "Another version of the worker gave this reason.", "Ask that version: its `worker dead-letters show` knows it."
)
