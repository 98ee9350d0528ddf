"""Mermaid's text of two charts, as Mermaid's own parser and renderer took it; and what holds of every chart's.

A golden file is made anew by writing what `drawn` gives into it; look at the picture before.
"""

import json
import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.core.engine.charts import chart
from worker.core.engine.chart import Chart
from worker.core.engine.outline import outline_of
from worker.core.graphs.mermaid import mermaid_of
from worker.core.graphs.wording import Heading

DATA = Path(__file__).parent / "data"
HEADING = Heading('"it" 1.0.0', "arvo.orc.it", "arvo.orc.it.done")

# What a line may be: Mermaid's own words, ids, and texts in which nothing means anything to Mermaid.
ID = r"(?!(?:end|state|note|as|class|direction|default)\b)[A-Za-z][A-Za-z0-9_]*"
TEXT = r"(?:[^\n{};:<>\"#%`\\]|#\d+;|<br/>)+"
LINE = re.compile(
    rf' *(?:(?:\[\*\]|{ID}) --> (?:\[\*\]|{ID})(?: : {TEXT})?|state "{TEXT}" as {ID}(?: \{{)?|\}}|--|'
    rf"{ID} : {TEXT}|note right of {ID}|end note|(?:entry|exit|on) {TEXT})"
)


def drawn(name: str) -> str:
    return mermaid_of(outline_of(Chart.parse(DATA / f"{name}.yaml")), HEADING)


@pytest.mark.parametrize("name", ["deep", "names"])
def test_the_text_is_the_golden_one(name: str) -> None:
    assert drawn(name) == (DATA / f"{name}.mmd").read_text()


@pytest.mark.parametrize("name", ["deep", "names"])
def test_every_line_is_one_that_mermaid_knows(name: str) -> None:
    head, *lines = drawn(name).partition("stateDiagram-v2\n")[2].splitlines()
    assert [line for line in (head, *lines) if not LINE.fullmatch(line)] == []


NAMES = st.text(st.sampled_from("ab1_ -.:;#%{}<>\"'`\\[]()|~^@→é日\n"), min_size=1, max_size=12) | st.sampled_from(
    ["end", "END", "note", "state", "direction  lr", "[[fork]]", "toString", "state_2", "%%{init: {}}%%", "a:::b"]
)


@given(NAMES.filter(str.strip), NAMES.filter(str.strip))
def test_no_name_means_anything_to_mermaid(state: str, event: str) -> None:
    assume(state != "root" and "*" not in event)
    # A text of JSON is one of YAML.
    name = json.dumps(state)
    transition = f"{{event: {json.dumps(event)}, target: {name}}}"
    outline = outline_of(chart(f"initial: {name}\nstates:\n  - name: {name}\n    transitions: [{transition}]"))
    text = mermaid_of(outline).partition("stateDiagram-v2\n")[2]
    assert [line for line in text.splitlines() if not LINE.fullmatch(line)] == []
    assert not re.search(r"direction\s+(?:TB|BT|RL|LR)|\[\[|:::", text, re.IGNORECASE)


def test_the_innermost_active_states_are_set_off() -> None:
    outline = outline_of(
        chart("initial: a b\nstates:\n  - name: a b\n    initial: c\n    states: [{name: c}, {name: d}]")
    )
    assert mermaid_of(outline, None, frozenset()) == mermaid_of(outline)
    *_, style, line = mermaid_of(outline, None, frozenset(("root", "a b", "c"))).splitlines()
    assert style.startswith("    classDef active fill:")
    assert line == "    class c active"
