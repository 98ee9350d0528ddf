"""List `broker.json` and `otel.json`, facts about parts of the reference that have no counterpart here."""

from collections.abc import Iterator
from typing import Any

from tests.vectors.cases import Case
from tests.vectors.xstate_tree import NoCounterpartError


def broker_cases(document: dict[str, Any]) -> Iterator[Case]:
    """Give the cases of `broker.json`."""
    for fact in document["facts"]:
        yield Case("facts", fact["title"], _no_broker)


def otel_cases(document: dict[str, Any]) -> Iterator[Case]:
    """Give the cases of `otel.json`."""
    for case in document["cases"]:
        yield Case("cases", case["title"], _no_spans)


def _no_broker() -> None:
    raise NoCounterpartError("there is no in-process broker")


def _no_spans() -> None:
    raise NoCounterpartError("executions make no spans")
