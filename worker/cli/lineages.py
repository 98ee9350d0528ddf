"""Which events belong to one workflow and its children, however many levels below. Pure, but for what it remembers."""

from collections import OrderedDict
from typing import Final

from worker.core.contracts import PARENT_SUBJECT
from worker.terminal.lines import Told, names_subject

HELD_MAX: Final = 10_000
HELD_BYTES_MAX: Final = 64 * 1024 * 1024
"""What is kept of others' events: topics are read side by side, so a child's may come before the one that starts it."""


class Lineage:
    """Tell the events of a workflow: its own, and those of whatever it or a descendant started.

    `wanted` is the workflow's subject, or the beginning of its execution's id. A child is known by the event that
    starts it, which names its parent's subject.
    """

    def __init__(self, wanted: str, held_max: int = HELD_MAX, held_bytes_max: int = HELD_BYTES_MAX) -> None:
        self._wanted = wanted
        self._held_max = held_max
        self._held_bytes_max = held_bytes_max
        self._ours: set[str] = set()
        self._children: dict[str, set[str]] = {}
        self._held: OrderedDict[int, Told] = OrderedDict()
        self._by_subject: dict[str, list[int]] = {}
        self._taken = 0
        self._bytes = 0

    def take(self, told: Told) -> list[Told]:
        """Give what is known now to belong to the workflow, in the order of its times."""
        subject = told.subject
        if subject is None:
            return []
        self._hold(subject, told)
        parent = _parent_of(told)
        if parent is not None:
            self._children.setdefault(parent, set()).add(subject)
        if not (self._is_ours(subject) or (parent is not None and self._is_ours(parent))):
            self._forget()
            return []
        return sorted(self._admitted(subject), key=lambda one: one.received.record.timestamp)

    def _is_ours(self, subject: str) -> bool:
        return subject in self._ours or names_subject(self._wanted, subject)

    def _admitted(self, subject: str) -> list[Told]:
        """Count an instance among ours with all that it started, and give what was held of them."""
        found: list[Told] = []
        new = [subject]
        while new:
            one = new.pop()
            self._ours.add(one)
            found += [self._let_go(number) for number in self._by_subject.pop(one, []) if number in self._held]
            new += self._children.pop(one, ())
        return found

    def _hold(self, subject: str, told: Told) -> None:
        self._taken += 1
        self._held[self._taken] = told
        self._by_subject.setdefault(subject, []).append(self._taken)
        self._bytes += _size(told)

    def _let_go(self, number: int) -> Told:
        told = self._held.pop(number)
        self._bytes -= _size(told)
        return told

    def _forget(self) -> None:
        """Drop the oldest of what is held, where there is too much."""
        while len(self._held) > self._held_max or self._bytes > self._held_bytes_max:
            number = next(iter(self._held))
            told = self._let_go(number)
            subject, parent = told.subject or "", _parent_of(told)
            numbers = self._by_subject.get(subject, [])
            numbers.remove(number)
            if not numbers:
                del self._by_subject[subject]
            if parent is not None and parent in self._children:
                self._children[parent].discard(subject)
                if not self._children[parent]:
                    del self._children[parent]


def _parent_of(told: Told) -> str | None:
    parent = None if told.event is None else told.event.data.get(PARENT_SUBJECT)
    return parent if isinstance(parent, str) and parent else None


def _size(told: Told) -> int:
    return len(told.received.record.value or b"")
