"""Run `broker.json`: facts about the reference's in-process broker, on the test kit's.

A fact tells in its title what is done and in its keys what comes of it. The order of deliveries is documented
otherwise (the kit's is that of publication), so the sets are compared.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from tests.vectors.cases import Case, expect_equal
from worker.core.errors import SetupError
from worker.core.events import Event, create_event
from worker.testing.local_broker import BrokerError, LocalBroker

Json = dict[str, Any]

TOPIC = "com.facts.topic"


def cases(document: Json) -> Iterator[Case]:
    """Give one case for each fact."""
    for fact in document["facts"]:
        yield Case("facts", fact["title"], partial(_check, fact))


def _check(fact: Json) -> None:
    for pattern, check in CHECKS.items():
        found = re.match(pattern, fact["title"])
        if found:
            check(fact, *map(int, found.groups()))
            return
    raise AssertionError(f"nobody knows how to do this: {fact['title']}")


def _published_by_a_handler(fact: Json) -> None:
    broker, order = LocalBroker(), list[str]()
    first, *others = fact["published"]

    def handler(event: Event) -> None:
        order.append(event.id)
        for name in others if event.id == first else ():
            broker.publish(_event(name))

    broker.subscribe(TOPIC, handler)
    broker.publish(_event(first))
    _expect_handled(broker, order, fact)


def _published_at_once(fact: Json) -> None:
    broker, order = LocalBroker(), list[str]()
    broker.subscribe(TOPIC, lambda event: order.append(event.id))
    broker.publish(*map(_event, fact["published"]))
    _expect_handled(broker, order, fact)


def _errors(fact: Json) -> None:
    broker = LocalBroker()
    for error in fact["errors"]:
        broker.publish(_event(error["event"], _topic_of(broker, error)))
    expect_equal([fault.event.id for fault in broker.errors], [error["event"] for error in fact["errors"]])
    for fault, error in zip(broker.errors, fact["errors"], strict=True):
        _expect_begins(str(fault.error), error["message"])


def _topic_of(broker: LocalBroker, error: Json) -> str:
    """Name who gets an event that ends in this error: nobody, or a handler that raises it."""
    nobody = re.match(r"No handlers registered for event type: (\S+)", error["message"])
    if nobody:
        return nobody[1]
    topic = f"com.fails.n{error['event']}"

    def handler(event: Event) -> None:
        raise RuntimeError(error["message"])

    broker.subscribe(topic, handler)
    return topic


def _queue_limit(fact: Json, limit: int) -> None:
    broker, errors = LocalBroker(queue_max=limit), list[str]()
    first, *accepted = fact["published"]
    refused = [f"over-{number}" for number in range(len(fact["errors"]))]

    def handler(event: Event) -> None:
        for name in (*accepted, *refused) if event.id == first else ():
            try:
                broker.publish(_event(name))
            except BrokerError as error:
                errors.append(str(error))

    broker.subscribe(TOPIC, handler)
    broker.publish(_event(first))
    expect_equal([event.id for event in broker.published], fact["published"], "the list of published events")
    expect_equal(len(errors), len(fact["errors"]), "the number of errors")
    for error, expected in zip(errors, fact["errors"], strict=True):
        _expect_begins(error, expected)


def _unique_subscribers(fact: Json) -> None:
    broker = LocalBroker()
    topic = fact["topics"][0]
    results = []
    for _ in fact["results"]:
        try:
            broker.subscribe(topic, lambda event: None)
            results.append("ok")
        except SetupError as error:
            results.append(str(error).partition(";")[0])
    expect_equal(results, fact["results"])


def _without_receiver(fact: Json) -> None:
    try:
        LocalBroker().publish(replace(_event("1"), to=None))
    except BrokerError as error:
        _expect_begins(str(error), fact["error"])
        return
    raise AssertionError("it was accepted")


CHECKS: dict[str, Callable[..., None]] = {
    "handler publishes": _published_by_a_handler,
    r"publish [\d,]+ at once from outside": _published_at_once,
    "errors of handlers and missing handlers": _errors,
    r"queue limit (\d+)": _queue_limit,
    "assertUnique": _unique_subscribers,
    "event without to": _without_receiver,
}


def _event(name: str, topic: str = TOPIC) -> Event:
    return create_event(
        {
            "id": name,
            "source": "com.facts.source",
            "type": topic,
            "subject": "facts",
            "data": {},
            "time": "2026-01-01T00:00:00Z",
        }
    )


def _expect_handled(broker: LocalBroker, order: list[str], fact: Json) -> None:
    expect_equal(sorted(order), sorted(fact["order"]), "the set of handled events")
    expect_equal([event.id for event in broker.published], fact["published"], "the list of published events")
    assert not broker.errors


def _expect_begins(actual: str, expected: str) -> None:
    assert actual.startswith(expected), f"the message is {actual!r}; the reference has {expected!r}"
