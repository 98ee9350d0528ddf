"""A workflow as the one who started it sees it: its end, and what it asks for on the way."""

import time
from collections import deque
from typing import Any, Final

from worker.core.contracts import ContractVersion
from worker.core.errors import WorkerError
from worker.core.events import Event
from worker.core.subjects import decode_subject
from worker.services.inboxes import Choose, Inbox
from worker.services.reading import Reading


class WorkflowFailed(WorkerError):
    """A workflow failed on an event, and told so by its system error, `event`.

    `name` and `message` are the error's. The instance is as it was before: a corrected event may take it on, and
    another `wait` waits for what comes of that.
    """

    def __init__(self, event: Event) -> None:
        self.event = event
        self.name = str(event.data.get("errorName"))
        self.message = str(event.data.get("errorMessage"))
        super().__init__(f"{event.source} failed: {self.name}: {self.message}")


class Workflow:
    """One workflow that was started: `subject` names it, `execution_id` is what it is told by at the command line."""

    def __init__(self, contract: ContractVersion, subject: str, inbox: Inbox, reading: Reading) -> None:
        self.contract: Final = contract
        self.subject: Final = subject
        self.execution_id: Final = decode_subject(subject).execution_id
        self._inbox = inbox
        self._reading = reading

    def __repr__(self) -> str:
        return f"Workflow({self.contract.type} {self.contract.version}, {self.execution_id})"

    def wait(self, timeout_seconds: float | None = None) -> Any:
        """Wait for the completion, and give its data: an instance of the contract's model.

        Raises: WorkflowFailed, for each system error that comes before it; TimeoutError, which says where to look;
        InvalidDataError, if what completes the workflow does not fit the contract.
        """
        event = self._await(self._end, timeout_seconds, f"end of {self!r}")
        if event.type != self.contract.complete_type:
            self._inbox.remove(event)
            raise WorkflowFailed(event)
        return self.contract.emits[event.type].parse(event.data)

    def wait_for(self, event_type: str, timeout_seconds: float | None = None) -> Event:
        """Wait for an event that the workflow emits into one of the client's domains: what a person is asked, say.

        Each is given once, in their order. Raises: TimeoutError.
        """

        def first(events: deque[Event]) -> Event | None:
            return next((event for event in events if event.type == event_type), None)

        event = self._await(first, timeout_seconds, f"{event_type} of {self!r}")
        self._inbox.remove(event)
        return event

    def _end(self, events: deque[Event]) -> Event | None:
        ends = {event.type: event for event in reversed(events) if event.source == self.contract.type}
        return ends.get(str(self.contract.complete_type)) or ends.get(self.contract.system_error_type)

    def _await(self, choose: Choose, timeout_seconds: float | None, what: str) -> Event:
        event = self._inbox.find(choose, timeout_seconds)
        if event is not None:
            return event
        if self._inbox.is_closed:
            raise WorkerError(f"The client was closed before the {what} came; wait within its `with` block.")
        raise TimeoutError(self._timeout_text(timeout_seconds, what))

    def _timeout_text(self, timeout_seconds: float | None, what: str) -> str:
        last = self._inbox.last
        seen = "no event of it was seen: does a worker run that hosts it?"
        if last is not None:
            seen = f"its last event here was {last.event.type}, {time.monotonic() - last.at:.1f} s ago"
        trouble = f"; the topics can't be read: {self._reading.trouble}" if self._reading.trouble else ""
        return (
            f"No {what} came within {timeout_seconds or 0:g} s; {seen}{trouble}. It may still come: wait again. "
            f"To see where it stands: `worker tail --from-beginning --subject {self.execution_id}` for its events, "
            "`worker tail --from-beginning --domain dlq` for dead letters, the view instance_overview for its states."
        )
