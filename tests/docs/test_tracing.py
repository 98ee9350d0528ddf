"""The page on tracing: its names are the program's."""

import re

from tests.docs.pages import Page
from worker.adapters.telemetry.batch_spans import _OUTCOMES, _PARTS, _PUBLISH, LINKS_MAX
from worker.adapters.telemetry.sampling import _NAMES, ARGUMENT, SAMPLER, Sampling
from worker.adapters.telemetry.tracers import _QUEUED_MAX

PAGE = Page("docs/tracing.md")


def test_the_samplers_are_those_that_there_are() -> None:
    table = PAGE.text.partition("## What is sampled")[2].partition("\nAn event")[0]
    rows = re.findall(r"^\| `(\w+)`.*? \| (.+?) \| (.+?) \|$", table, re.MULTILINE)
    assert [row for row in rows if row[0] == SAMPLER] == [(SAMPLER, "an event with a trace", "one without")]
    told = {name: (with_trace, without) for name, with_trace, without in rows if name != SAMPLER}
    assert sorted(told) == sorted(_NAMES)
    for name, (with_trace, without) in told.items():
        made = Sampling.of({SAMPLER: name, ARGUMENT: "0.5"})
        share = {2**64: "is", 0: "is not"}.get(made.bound, "by share")
        assert without.startswith(share), name
        assert with_trace.startswith("as its trace says" if made.follows else share), name


def test_the_numbers_and_names_are_those_that_hold() -> None:
    for told in (f"the first {LINKS_MAX} of them", f"{_QUEUED_MAX} if not set", *_PARTS.values(), _PUBLISH):
        assert told in PAGE.text
    assert ", ".join(f"`{name}`" for name in _OUTCOMES.values()) in PAGE.text
