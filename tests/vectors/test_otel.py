"""The harness of `otel.json` notices what is wrong, and takes what the format allows beyond the recorded file."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.vectors.harness import COPY
from tests.vectors.otel_vectors import cases

Json = dict[str, Any]
CONTINUED, NEW, IGNORED, INSIDE, _, ERROR, VIOLATION, NO_INSTANCE = range(8)
MAIN, RESOLVE = 0, 1


def document() -> Json:
    loaded: Json = json.loads((COPY / "otel.json").read_text(encoding="utf-8"))
    return loaded


def check(case: Json) -> None:
    (one,) = cases({"cases": [case]})
    one.check()


@pytest.mark.parametrize(
    ("number", "path", "wrong"),
    [
        (CONTINUED, ("spans", MAIN, "kind"), "INTERNAL"),
        (CONTINUED, ("spans", MAIN, "status"), "OK"),
        (CONTINUED, ("spans", MAIN, "trace"), "trace9"),
        (CONTINUED, ("spans", MAIN, "parent"), None),
        (CONTINUED, ("spans", RESOLVE, "parent"), "span4"),
        (CONTINUED, ("spans", RESOLVE, "name"), "Find Machine"),
        (CONTINUED, ("spans", RESOLVE, "attributes", "cloudevents.arvo.event_to"), "N/A"),
        (CONTINUED, ("spans", MAIN, "attributes", "to_emit.0.cloudevents.event_id"), "$id2"),
        (CONTINUED, ("spans", MAIN, "attributes", "arvo.orchestration.status"), "stopped"),
        (CONTINUED, ("spans", MAIN, "attributes", "more"), "more"),
        (CONTINUED, ("outcome", "events", 0, "tracestate"), None),
        (CONTINUED, ("outcome", "events", 0, "traceparent"), "00-traceOfInputEvent-span3-01"),
        (CONTINUED, ("outcome", "events", 0, "traceparent"), "00-traceOfInputEvent-span2-00"),
        (CONTINUED, ("outcome", "events", 1, "type"), "com.trace.y"),
        (CONTINUED, ("inheritFrom",), "CONTEXT"),
        (NEW, ("spans", MAIN, "parent"), "span2"),
        (NEW, ("spans", RESOLVE, "trace"), "trace2"),
        (NEW, ("outcome", "events", 0, "traceparent"), None),
        (IGNORED, ("inheritFrom",), "EVENT"),
        (INSIDE, ("spans", 1, "parent"), None),
        (ERROR, ("spans", MAIN, "attributes", "exception.message"), "another"),
        (ERROR, ("spans", MAIN, "events", "exception"), 2),
        (ERROR, ("spans", 2, "status"), "OK"),
        (ERROR, ("spans", 3, "attributes", "arvo.contract.version"), "2.0.0"),
        (VIOLATION, ("outcome", "threw"), "ViolationError<Execution>"),
        (VIOLATION, ("spans", MAIN, "status"), "UNSET"),
        (NO_INSTANCE, ("spans", MAIN, "status"), "OK"),
    ],
)
def test_a_wrong_fact_fails(number: int, path: Sequence[str | int], wrong: object) -> None:
    case = document()["cases"][number]
    place: Any = case
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = wrong
    with pytest.raises(AssertionError):
        check(case)


def test_a_missing_span_fails() -> None:
    case = document()["cases"][CONTINUED]
    case["spans"].pop()
    with pytest.raises(AssertionError):
        check(case)


def test_domains_by_event_are_read_as_such() -> None:
    case = document()["cases"][CONTINUED]
    told = case["spans"][MAIN]["attributes"]
    del told["to_emit.1.domains.1"]
    told |= {"to_emit.0.domains.1": "audit", "to_emit.1.domains.0": "default", "to_emit.1.domains.1": "audit"}
    check(case)
    told["to_emit.1.domains.0"] = "external"
    check(case)
    told["to_emit.1.domains.3"] = "external"
    with pytest.raises(AssertionError):
        check(case)


def test_a_machine_that_ends_completes() -> None:
    start = document()["cases"][NEW]
    start["spans"][MAIN]["attributes"]["arvo.orchestration.status"] = "done"
    with pytest.raises(AssertionError, match=r"createArvoEvent<arvo\.orc\.lab\.done>"):
        check(start)


def test_a_reply_that_goes_well() -> None:
    case = document()["cases"][NEW]
    case["input"] |= {
        "id": "evt-sig-a",
        "type": "evt.sig.a",
        "source": "com.sig.call",
        "dataschema": "#/svc/sig/1.0.0",
        "data": {},
    }
    text = json.dumps(case).replace('"evt-init"', '"evt-sig-a"').replace("<arvo.orc.lab>", "<evt.sig.a>")
    case = json.loads(text)
    for span in case["spans"]:
        for prefix in ("cloudevents", "to_process.0.cloudevents"):
            told = span["attributes"]
            if told.get(f"{prefix}.event_id") == "evt-sig-a":
                told[f"{prefix}.event_type"] = "evt.sig.a"
                told[f"{prefix}.event_source"] = "com.sig.call"
                told[f"{prefix}.event_dataschema"] = "#/svc/sig/1.0.0"
    check(case)
