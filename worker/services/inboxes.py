"""Events for those who wait for them, by subject. Any thread may put, any number may wait."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, Lock
from typing import Final
from weakref import WeakValueDictionary

from worker.core.events import Event

EVENTS_MAX: Final = 1_000
"""How many events of one workflow are kept; the oldest go first."""

UNCLAIMED_MAX: Final = 10_000
"""How many workflows are kept that nobody has asked for yet; the oldest go first."""

Choose = Callable[[deque[Event]], Event | None]
"""Find the event that is waited for."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An event, and when it came, on the clock that never goes back."""

    event: Event
    at: float


class Inbox:
    """The events of one workflow, in their order, each once."""

    def __init__(self) -> None:
        self.last: Seen | None = None
        self._events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self._ids: deque[tuple[str, str]] = deque(maxlen=EVENTS_MAX)
        self._changed = Condition()
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Tell whether nothing comes any more."""
        return self._closed

    def put(self, event: Event) -> None:
        """Add an event; one that is in several domains comes several times."""
        with self._changed:
            if (event.source, event.id) in self._ids:
                return
            self._ids.append((event.source, event.id))
            self._events.append(event)
            self.last = Seen(event, time.monotonic())
            self._changed.notify_all()

    def find(self, choose: Choose, timeout_seconds: float | None) -> Event | None:
        """Wait until `choose` finds one among the events; None when the time is over, or nothing comes any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or choose(self._events) is not None, timeout_seconds)
            return choose(self._events)

    def remove(self, event: Event) -> None:
        """Take an event out, if it is still there."""
        with self._changed:
            if event in self._events:
                self._events.remove(event)

    def close(self) -> None:
        """Let nobody wait any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Inboxes:
    """The inboxes of all workflows. One that was claimed lasts for as long as somebody holds it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._claimed: WeakValueDictionary[str, Inbox] = WeakValueDictionary()
        self._unclaimed: OrderedDict[str, Inbox] = OrderedDict()
        self._closed = False

    def claim(self, subject: str) -> Inbox:
        """Give the inbox of a subject, with what has come for it."""
        with self._lock:
            inbox = self._claimed.get(subject) or self._unclaimed.pop(subject, None) or Inbox()
            self._claimed[subject] = inbox
        if self._closed:
            inbox.close()
        return inbox

    def is_claimed(self, subject: str) -> bool:
        """Tell whether somebody waits for events of this subject, or may."""
        with self._lock:
            return subject in self._claimed

    def deliver(self, event: Event) -> None:
        """Put an event into its inbox; one that nobody claimed is kept for a while."""
        with self._lock:
            inbox = self._claimed.get(event.subject) or self._unclaimed.setdefault(event.subject, Inbox())
            while len(self._unclaimed) > UNCLAIMED_MAX:
                self._unclaimed.popitem(last=False)
        inbox.put(event)

    def close(self) -> None:
        """Let nobody wait any longer, now or later."""
        with self._lock:
            self._closed = True
            inboxes = list(self._claimed.values())
        for inbox in inboxes:
            inbox.close()
