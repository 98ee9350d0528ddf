"""The scenarios' harness notices what is wrong, and translates what the format allows beyond the recorded files."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.vectors.e2e_vectors import cases as e2e_cases
from tests.vectors.expressions import UNDEFINED, Error, Sight, evaluate
from tests.vectors.harness import COPY
from tests.vectors.scenario_vectors import cases
from tests.vectors.symbols import Symbols
from tests.vectors.xstate import translate
from tests.vectors.xstate_tree import NoCounterpartError
from worker.core.engine.chart import Chart
from worker.core.errors import SetupError

Json = dict[str, Any]


def document(name: str) -> Json:
    loaded: Json = json.loads((COPY / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


APPROVED = "scenario-lifecycle-linear-workflow-approved"


@pytest.mark.parametrize(
    ("name", "path", "wrong"),
    [
        (APPROVED, ("steps", 0, "emitted", 0, "data", "orderId"), "o-2"),
        (APPROVED, ("steps", 0, "emitted", 0, "to"), "com.some.where"),
        (APPROVED, ("steps", 1, "emitted", 0, "id"), "$id1"),
        (APPROVED, ("steps", 1, "emitted", 0, "parentid"), "$id1"),
        (APPROVED, ("steps", 2, "result", "allEventDomains"), ["default"]),
        (APPROVED, ("steps", 2, "memoryRecord", "context", "transactionId"), None),
        (APPROVED, ("steps", 2, "memoryRecord", "value"), "charging"),
        (APPROVED, ("steps", 2, "memoryRecord", "parentSubject"), "another"),
        (APPROVED, ("steps", 3, "memoryRecord", "status"), "active"),
        (APPROVED, ("steps", 0, "memoryOps", 1, "found"), True),
        (APPROVED, ("orchestrators", "order", "requiresResourceLocking"), False),
        ("scenario-hierarchy-child-init-parent-meta-is-merged", ("subjects", "$subject1", "content", "meta"), {}),
        ("scenario-memory-read-throws", ("steps", 0, "error", "cause"), "LOCK_UNACQUIRED"),
        ("scenario-errors-guard-throws", ("steps", 1, "emitted", 0, "data", "errorName"), "TypeError"),
        ("scenario-errors-guard-throws", ("steps", 1, "emitted", 0, "data", "errorMessage"), "guard bang"),
        ("scenario-validation-invalid-data-reply", ("steps", 1, "error", "zodIssues", 0, "path"), ["other"]),
        ("scenario-statechart-sc-parallel-nested", ("steps", 1, "memoryRecord", "value", "p", "r1", "a"), "w"),
    ],
)
def test_a_wrong_fact_fails(name: str, path: Sequence[str | int], wrong: object) -> None:
    changed = document(name)
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = wrong
    (case,) = cases(changed)
    with pytest.raises(AssertionError):
        case.check()


@pytest.mark.parametrize("wrong", ["received", "records", "published"])
def test_a_wrong_fact_of_a_workflow_fails(wrong: str) -> None:
    changed = document("e2e-write-throws")
    if wrong == "received":
        changed["received"] = {}
    elif wrong == "records":
        next(iter(changed["records"].values()))["status"] = "active"
    else:
        changed["published"].pop()
    (case,) = e2e_cases(changed)
    with pytest.raises(AssertionError):
        case.check()


def test_a_symbol_stands_for_one_value_and_a_value_for_one_symbol() -> None:
    symbols = Symbols({})
    symbols.expect({"id": "a", "text": "of b."}, {"id": "$id1", "text": "of $id2."})
    assert symbols.put_in(["$id2", {"key": "<$id1>"}]) == ["b", {"key": "<a>"}]
    with pytest.raises(AssertionError):
        symbols.expect("b", "$id1")
    with pytest.raises(AssertionError):
        symbols.expect("a", "$id3")
    with pytest.raises(KeyError):
        symbols.put_in("$id4")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({"$context": "list/1"}, "b"),
        ({"$context": "list/7"}, UNDEFINED),
        ({"$event": ""}, {"v": 2}),
        ({"$lit": {"$add": [1, 2]}}, {"$add": [1, 2]}),
        ({"$concat": ["n=", {"$div": [4, 2]}, None, True]}, "n=2nulltrue"),
        ({"$if": [{"$and": [[], {"$or": [0, "x"]}]}, {"$mul": [2, 3]}, {"$throw": "not evaluated"}]}, 6),
        ({"$eq": [True, 1]}, False),
        ({"$ne": [None, {"$undefined": True}]}, True),
        ({"a": {"$merge": [{"x": 1}, {"x": 2}]}, "$b": 1}, {"a": {"x": 2}, "$b": 1}),
    ],
)
def test_expressions(expression: object, expected: object) -> None:
    assert evaluate(expression, Sight({"list": ["a", "b"]}, {"v": 2})) == expected


def test_expressions_that_throw_or_are_unknown() -> None:
    with pytest.raises(Error, match="boom"):
        evaluate({"$throw": "boom"}, Sight())
    with pytest.raises(NotImplementedError):
        evaluate({"$unknown": 1}, Sight())


def test_wildcards_are_written_out() -> None:
    on = {"*": "z", "evt.*": "y", "evt.a": "x"}
    states: Json = {"w": {"on": on}, "x": {}, "y": {}, "z": {}}
    declared = {"config": {"id": "m", "initial": "w", "states": states}}
    chart = Chart.parse(translate(declared, ["evt.a", "evt.b", "sys.c"]).text, translate(declared).functions)
    taken = [(one.event, one.target) for one in sorted(chart.statechart.transitions, key=lambda one: -one.priority)]
    assert taken == [("evt.a", "002 m.x"), ("evt.b", "003 m.y"), ("evt.b", "004 m.z"), ("sys.c", "004 m.z")]


@pytest.mark.parametrize(
    "config",
    [
        {"initial": "w", "states": {"w": {"invoke": {"src": "x"}}}},
        {"initial": "w", "states": {"w": {"on": {"evt.a.b": {"target": ["w", "w"]}}}}},
        {"initial": "w", "states": {"w": {"entry": [{"do": "throw", "value": None}]}}},
        {"initial": "w", "entry": ["log"], "on": {"evt.a.b": ".w"}, "states": {"w": {}}},
    ],
)
def test_what_sismic_has_no_counterpart_for(config: Json) -> None:
    with pytest.raises(NoCounterpartError):
        translate({"config": config})


def test_delays_and_unknown_targets_are_left_for_set_up_to_refuse() -> None:
    for state in ({"after": {"1000": "w"}}, {"on": {"evt.a.b": "nowhere"}}):
        translated = translate({"config": {"initial": "w", "states": {"w": state}}})
        with pytest.raises(SetupError):
            Chart.parse(translated.text, translated.functions)
