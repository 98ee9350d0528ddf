"""Inboxes: events for those who wait, from any thread."""

import gc
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.services.stock import request
from worker.core.events import Event
from worker.services import inboxes as module
from worker.services.inboxes import Inbox, Inboxes

PATIENCE_SECONDS = 10.0


def event(number: int, subject: str = "s") -> Event:
    return request(id=f"event-{number}", subject=subject)


def first(events: deque[Event]) -> Event | None:
    return events[0] if events else None


def ids(inbox: Inbox) -> list[str]:
    found = []
    while (one := inbox.find(first, 0)) is not None:
        found.append(one.id)
        inbox.remove(one)
    return found


def test_who_waits_is_woken() -> None:
    inbox = Inbox()
    with ThreadPoolExecutor() as pool:
        waiting = [pool.submit(inbox.find, first, PATIENCE_SECONDS) for _ in range(3)]
        inbox.put(event(1))
        assert [one.result() for one in waiting] == [event(1)] * 3


def test_time_may_run_out() -> None:
    assert Inbox().find(first, 0.01) is None


def test_an_event_that_comes_twice_is_there_once() -> None:
    inbox = Inbox()
    inbox.put(event(1))
    inbox.remove(event(1))
    inbox.put(event(1))
    inbox.remove(event(1))
    assert ids(inbox) == []


def test_an_inbox_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVENTS_MAX", 3)
    inbox = Inbox()
    for number in range(5):
        inbox.put(event(number))
    assert ids(inbox) == ["event-2", "event-3", "event-4"]


def test_closing_wakes_who_waits_now_and_later() -> None:
    all_of_them = Inboxes()
    inbox = all_of_them.claim("s")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(inbox.find, first, PATIENCE_SECONDS)
        all_of_them.close()
        assert waiting.result() is None
    assert all_of_them.claim("other").is_closed


def test_what_came_before_it_was_asked_for_is_kept_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNCLAIMED_MAX", 2)
    all_of_them = Inboxes()
    for number in range(3):
        all_of_them.deliver(event(number, f"s-{number}"))
    all_of_them.deliver(event(9, "s-2"))
    assert [ids(all_of_them.claim(f"s-{number}")) for number in range(3)] == [[], ["event-1"], ["event-2", "event-9"]]


def test_what_nobody_holds_is_forgotten() -> None:
    all_of_them = Inboxes()
    held: Any = all_of_them.claim("s")
    assert all_of_them.claim("s") is held
    assert all_of_them.is_claimed("s")
    del held
    gc.collect()
    assert not all_of_them.is_claimed("s")
