"""Run `event.json`."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from tests.vectors.cases import Case, expect_equal, expect_refused, from_javascript
from worker.core.errors import InvalidEventError
from worker.core.events import Event, create_event, event_from_json, event_to_json
from worker.core.times import to_event_time

GENERATED = {"id": "3f1a2c60-0000-4000-8000-000000000001", "time": to_event_time(1_704_067_200_000)}
SYMBOLS = {
    "$uuid4": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "$now: YYYY-MM-DDTHH:mm:ss.SSS+00:00": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00"),
}

# The reference names a fault of the data or of the extensions as a whole by its parser's root.
ROOT = "(root)"
NAMED_BY_ROOT = ("data", "extensions", "")


def cases(document: dict[str, Any]) -> Iterator[Case]:
    """Give the cases of the file."""
    for vector in document["cases"]:
        yield Case("cases", vector["title"], partial(_check, vector))


def _check(vector: dict[str, Any]) -> None:
    if "result" not in vector:
        _expect_failed(vector)
        return
    event = _event(vector)
    document = event_to_json(event)
    expected = vector["result"]["json"]
    for name, pattern in SYMBOLS.items():
        for key in [key for key, value in expected.items() if value == name]:
            assert pattern.fullmatch(document[key]), f"{key} is {document[key]!r}"
            document[key] = name
    expect_equal(document, expected)
    expect_equal(list(document), vector["result"]["jsonKeyOrder"], "the order of keys")
    expect_equal(event.extensions, vector["result"]["customExtensions"], "the extensions")
    assert event_from_json(event_to_json(event)) == event


def _expect_failed(vector: dict[str, Any]) -> None:
    error = expect_refused(lambda: _event(vector), InvalidEventError)
    assert isinstance(error, InvalidEventError)
    if "failedFields" in vector:
        failed = [ROOT if name in NAMED_BY_ROOT else name for name in error.failed]
        expect_equal(failed, vector["failedFields"], "the list of failed attributes")


def _event(vector: dict[str, Any]) -> Event:
    attributes = from_javascript(vector["input"])
    extensions = from_javascript(vector.get("extensions"))
    if vector["how"] == "new ArvoEvent":
        return event_from_json({**attributes, **(extensions or {})})
    return create_event({**GENERATED, **attributes}, extensions)
