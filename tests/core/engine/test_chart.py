from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sismic.io import import_from_yaml

from tests.core.engine.charts import chart, chart_text
from worker.core.engine.chart import Chart
from worker.core.errors import SetupError

ONE_STATE = """
initial: a
states:
  - name: a
"""


def state(content: str) -> str:
    """Give a root with the state `a`, which has this content, and the state `b`."""
    indented = content.strip("\n").replace("\n", "\n    ")
    return f"initial: a\nstates:\n  - name: a\n    {indented}\n  - name: b\n"


def transition(content: str) -> str:
    indented = content.strip("\n").replace("\n", "\n    ")
    return state(f"transitions:\n  - event: go\n    {indented}")


REFUSED: list[tuple[str, str, str, str]] = [
    ("not yaml", "a: [", "", "no valid YAML"),
    ("a key twice", "initial: a\ninitial: b", "", "line 6: no valid YAML"),
    (
        "unknown key",
        transition("reenter: true"),
        "",
        "line 10: state 'a', transition on 'go': the key 'reenter' is none;",
    ),
    ("misspelt key", transition("gaurd: x"), "", "the key 'gaurd' is none (did you mean 'guard'?); expected event, "),
    (
        "unknown target",
        transition("target: c"),
        "",
        "line 9: state 'a': a transition leads to 'c', which the chart does",
    ),
    ("misspelt target", "initial: aa\nstates:\n  - name: aa\n    transitions:\n      - target: aaa", "", "mean 'aa'?)"),
    (
        "unknown initial",
        "initial: c\nstates:\n  - name: a",
        "",
        "the initial state 'c' is none of its own; expected one of a",
    ),
    (
        "initial of none",
        state("initial: c"),
        "",
        "the initial state 'c' is none of its own; expected one of none: it has",
    ),
    (
        "name taken",
        "initial: a\nstates:\n  - name: a\n  - name: a",
        "",
        "line 8: state 'a': the name is taken by the state on",
    ),
    ("no name", "initial: a\nstates:\n  - name: a\n  - type: final", "", "line 8: a state: the key 'name' is missing"),
    ("a state as a text", "initial: a\nstates:\n  - a", "", "line 7: a state is a mapping that begins with `name:`"),
    ("a transition as a text", state("transitions:\n  - go"), "", "a transition is a mapping; write `- event: …`"),
    (
        "transitions that are no list",
        state("transitions:\n  event: go"),
        "",
        "'transitions' is no list; write each entry",
    ),
    (
        "unknown type",
        state("type: end"),
        "",
        "the type 'end' is none; expected final, shallow history, deep history, or",
    ),
    (
        "memory elsewhere",
        "states:\n  - name: a\n    states:\n      - name: b\n  - name: h\n    type: deep history\n    memory: b",
        "",
        "line 9: state 'h': its default 'b' is no state beside it; expected a.",
    ),
    (
        "final state with transitions",
        state("type: final\ntransitions:\n  - target: b"),
        "",
        "line 7: state 'a': a final state has no transitions",
    ),
    (
        "history as a region",
        state("parallel states:\n  - name: c\n  - name: h\n    type: deep history\n    memory: c"),
        "",
        "line 10: state 'a': a history state is no region",
    ),
    ("priority", transition("priority: urgent"), "", "the priority 'urgent' is none; expected high, low or a whole"),
    ("condition as a text", state("contract:\n  - x > 1"), "", "line 9: state 'a': a condition is a mapping; write"),
    (
        "unknown condition",
        state("contract:\n  - never: x"),
        "",
        "contract: the key 'never' is none; expected",
    ),
    ("unknown memory", state("type: deep history\nmemory: c"), "", "the chart has no state 'c'; correct `memory`"),
    (
        "code in braces",
        state("on entry: {a: 1}"),
        "",
        "'on entry' is no text; put what has braces or colons into quotes",
    ),
    (
        "states of both kinds",
        "initial: a\nstates:\n  - name: a\nparallel states:\n  - name: b",
        "",
        "`states` and `parallel states` exclude each other",
    ),
    ("empty guard", transition("guard:"), "", "state 'a', transition on 'go': 'guard' has no value"),
    ("blank entry", state('on entry: " "'), "", "state 'a': 'on entry' has no value"),
    ("wildcard", state('transitions:\n  - event: "*"\n    target: b'), "", "there are no wildcards"),
    (
        "final state with states",
        "initial: a\nstates:\n  - name: a\n    type: final\n    states:\n      - name: b",
        "",
        "state 'a': a final state has no states of its own",
    ),
    (
        "final state in a parallel root",
        "parallel states:\n  - name: a\n  - name: b\n    type: final",
        "",
        "state 'b': a parallel root never ends",
    ),
    (
        "history without default",
        "initial: a\nstates:\n  - name: a\n  - name: h\n    type: shallow history",
        "",
        "state 'h': a history state needs a default",
    ),
    (
        "history that leads to history",
        (
            "initial: a\nstates:\n  - name: a\n  - name: h\n    type: deep history\n    memory: i\n"
            "  - name: i\n    type: deep history\n    memory: h"
        ),
        "",
        "can't be a history state",
    ),
    (
        "guard that doesn't compile",
        transition("guard: 1 +"),
        "",
        "state 'a', transition 1 on 'go', guard: the code doesn't compile: ",
    ),
    (
        "action that doesn't compile",
        transition("target: b\naction: |\n  x = 1\n  y = ="),
        "",
        "state 'a', transition 1 on 'go' to 'b', action: the code doesn't compile: invalid syntax",
    ),
    ("statement as a guard", transition("guard: x = 1"), "", "guard: the code doesn't compile"),
    (
        "code that is too deep",
        state(f"on entry: n = {'-' * 100_000}1"),
        "n = 0",
        "on entry: the code doesn't compile",
    ),
    ("preamble that doesn't compile", ONE_STATE, "x = (", "the preamble: the code doesn't compile"),
    ("after", transition("guard: after(3)"), "", "'after' is not available: durable timers do not exist yet"),
    ("idle", transition("guard: idle(3)"), "", "'idle' is not available: durable timers do not exist yet"),
    (
        "after in a contract",
        state("contract:\n  - always: after(3)"),
        "",
        "state 'a', invariant: 'after' is not available",
    ),
    ("delayed send", state("on entry: send('x', delay=3)"), "", "`send` with a delay is not available"),
    ("sismic's time", state("on entry: emit('x', dict(t=time))"), "", "'time' is not available: use `now`"),
    ("interrupt", state("on entry: raise KeyboardInterrupt"), "", "'KeyboardInterrupt' is not available: it ends the"),
    ("changed builtins", state("on entry: __builtins__['sum'] = max"), "", "'__builtins__' is not available"),
    ("own builtins", state("on entry: __builtins__ = {}"), "", "the code assigns '__builtins__'"),
    ("open", state("on entry: open('x')"), "", "'open' is not available: chart code reaches nothing outside"),
    ("hash", state("on entry: emit('x', dict(h=hash('y')))"), "", "'hash' is not available: its value differs"),
    ("import", state("on entry: import math as _math"), "", "chart code doesn't import"),
    ("import in a function", state("on entry: \"_f = lambda: __import__('os')\""), "", "'__import__' is not available"),
    (
        "undeclared variable",
        state("on entry: total = 1"),
        "",
        "state 'a', on entry: the code assigns 'total', which is no context variable; name it in the preamble",
    ),
    ("undeclared loop variable", state('on exit: "for n in [1]: pass"'), "", "call it '_n' if it is temporary"),
    ("undeclared global", state("on entry: |\n  def _f():\n    global n\n    n = 1"), "", "the code assigns 'n'"),
    ("assigned event", state("on entry: event = 1"), "", "the code assigns 'event', which is provided"),
    ("provided name as context", ONE_STATE, "init = 1", "the preamble: the code assigns 'init', which is provided"),
    ("guard that assigns", transition("guard: (n := 1)"), "n = 0", "a guard can't change the context, and this one"),
    ("guard that declares", transition("guard: setdefault('n', 1)"), "", "a guard can't change the context"),
    ("guard that emits", transition("guard: emit('x', {})"), "", "a guard can't use 'emit'"),
    ("preamble that emits", ONE_STATE, "emit('x', {})", "the preamble: a preamble can't use 'emit'"),
    ("unknown active", transition("guard: active('c')"), "", "active('c') asks for a state that the chart does not"),
    ("no domain", state("on entry: emit('x', {}, domains=['All'])"), "", "'All' is no domain"),
    ("reserved domain", state("on entry: emit('x', {}, ['all'])"), "", "'all' is no domain: the name is reserved"),
]


@pytest.mark.parametrize(
    ("root", "preamble", "text"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_refuses(root: str, preamble: str, text: str) -> None:
    with pytest.raises(SetupError) as refusal:
        chart(root, preamble)
    assert str(refusal.value).startswith(("test.yaml: ", "test.yaml, line "))
    assert text in str(refusal.value)


@pytest.mark.parametrize("text", ["1", "[]", "{}", "statechart: 1", "statechart: {name: x}", "\x01"])
def test_refuses_what_is_no_chart(text: str) -> None:
    with pytest.raises(SetupError, match=r"^statechart(, line 1)?: "):
        Chart.parse(text)


def test_a_finding_in_code_is_told_by_its_own_line() -> None:
    with pytest.raises(SetupError) as refusal:
        chart(state("on entry: |\n\n  n = 1\n  _t = [open('x')\n    for _x in 'ab']"), "n = 0")
    assert str(refusal.value).startswith("test.yaml, line 13: state 'a', on entry: 'open' is not available")
    with pytest.raises(SetupError, match=r"^test\.yaml, line 10: .* 'All' is no domain"):
        chart(state("on entry: |\n  emit('x', {})\n  emit('x', {}, domains=['All'])"))


def test_a_refusal_has_its_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(chart_text(transition("target: c")))
    with pytest.raises(SetupError) as refusal:
        Chart.parse(path)
    assert (refusal.value.file, refusal.value.line) == (str(path), 9)
    assert str(refusal.value).startswith(f"{path}:9: state 'a': a transition leads to 'c'")


TAKEN: list[tuple[str, str, str]] = [
    ("data named delay", state("on entry: \"send('x', **{'delay': 3})\""), ""),
    ("own variable named time", state("on entry: time = 1"), "time = 0"),
    ("temporary", state('on entry: "for _n in [1]: _m = _n"'), ""),
    ("declared by setdefault", state("on entry: |\n  setdefault('n', 0)\n  n += 1"), ""),
    ("comprehension", state("on entry: m = [n for n in range(m)]"), "m = 3"),
    ("unknown name: found when it runs", transition("guard: nowhere()"), ""),
    (
        "states that share parts",
        state("transitions: &t\n  - &go\n    event: go\n    target: b")
        + "    transitions: *t\n  - name: c\n    transitions:\n      - <<: *go\n        target: a\n",
        "",
    ),
    ("priorities", state("transitions:\n  - target: b\n    priority: high\n  - target: b\n    priority: -3"), ""),
    ("guard over lines", transition("guard: |\n  (1 ==\n  1)"), ""),
]


@pytest.mark.parametrize(("root", "preamble"), [case[1:] for case in TAKEN], ids=[case[0] for case in TAKEN])
def test_takes(root: str, preamble: str) -> None:
    assert chart(root, preamble).name == "test.yaml"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("emit", "hides a name that chart code already has"),
        ("after", "hides a name that chart code already has"),
        ("sum", "hides a name that chart code already has"),
        ("n", "has the name of a context variable"),
    ],
)
def test_refuses_functions_that_hide_names(name: str, text: str) -> None:
    functions: dict[str, Callable[..., Any]] = {name: str.upper}
    with pytest.raises(SetupError, match=f"the function '{name}' {text}"):
        chart(ONE_STATE, "n = 1", functions)


def test_refuses_to_assign_a_function() -> None:
    with pytest.raises(SetupError, match="assigns 'shout', which is provided"):
        chart(state("on entry: shout = 1"), "", {"shout": str.upper})


def test_context_names_are_those_of_the_preamble_and_of_setdefault() -> None:
    parsed = chart(state("on exit: setdefault('c', 1)"), "b, (a, *_rest) = 1, (2, 3)\nfor _i in []: d = _i\nx: int = 1")
    assert parsed.context_names == ("a", "b", "c", "d", "x")


def test_knows_what_literals_it_emits_and_what_it_waits_for() -> None:
    parsed = chart(
        state(
            "on entry: |\n  emit('com.a', {}, domains=['x', 'y'])\n  emit(type='com.b', data={}, domains=('x',))\n"
            "on exit: emit('com.' + str(1), {}, ['v'] if 1 else 'w' or 'z')\ntransitions:\n  - event: go\n    target: b"
        )
    )
    assert parsed.emitted_types == ("com.a", "com.b")
    assert parsed.emitted_domains == ("v", "w", "x", "y", "z")
    assert parsed.awaited_events == ("go",)


def test_knows_whether_it_is_parallel() -> None:
    assert not chart(ONE_STATE).is_parallel
    assert chart("initial: a\nstates:\n  - name: a\n    parallel states:\n      - name: b\n      - name: c").is_parallel


def test_a_file_a_text_and_a_model_give_the_same_chart(tmp_path: Path) -> None:
    text = chart_text(ONE_STATE, "n = 1")
    path = tmp_path / "test.yml"
    path.write_text(text)
    charts = [Chart.parse(source) for source in (path, str(path), text, import_from_yaml(text))]
    assert len({parsed.text for parsed in charts}) == 1
    assert [parsed.name for parsed in charts] == [str(path), str(path), "statechart", "statechart 'test'"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"nowhere\.yaml: the statechart can't be read"):
        Chart.parse(tmp_path / "nowhere.yaml")


def test_a_module_gives_its_own_public_functions() -> None:
    module = ModuleType("functions")
    exec("from math import sqrt\ndef shout(text): return text.upper()\ndef _hidden(): pass\n", vars(module))  # noqa: S102
    assert set(Chart.parse(chart_text(ONE_STATE), module).functions) == {"shout"}


def test_the_functions_source_is_part_of_the_chart() -> None:
    def double(number: int) -> int:
        return 2 * number

    assert "return 2 * number" in chart(ONE_STATE, "", {"double": double}).functions_text
    assert chart(ONE_STATE, "", {"shout": str.upper}).functions_text
