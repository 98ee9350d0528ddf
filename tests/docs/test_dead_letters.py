"""The page on dead letters: its tables are the program's, its commands run and print what it says."""

import re

import pytest

from tests.core.lab import NOW, hosting, lab_machine
from tests.docs.pages import Page, run_shell
from worker.core.dead_letter_advice import ADVICE
from worker.core.dead_letters import DeadLetter, read_record
from worker.core.outcomes import DeadLettered, DeadLetterReason
from worker.core.records import Output, Record
from worker.core.redrives import Target, redriven
from worker.core.routing import Router, Topics

PAGE = Page("docs/dead-letters.md")
VARIES = re.compile(r"\d{4}-\d\d-\d\dT[\d:]+Z|\d+:\d+|\[\d+\]@\d+|worker \d+\.\d+\.\d+|  +")
"""Moments, places, versions, and the widths of columns."""

LINK = re.compile(r"\[(.+?)\]\(.+?\)")


def fixed(text: str) -> list[str]:
    return [VARIES.sub(" … ", line) for line in text.splitlines()]


@pytest.mark.slow
def test_the_commands_print_what_the_page_says(shell_environment: dict[str, str]) -> None:
    told = re.findall(r"^```(sh|text)\n(.*?)^```$", PAGE.text, re.MULTILINE | re.DOTALL)
    assert [language for language, _ in told] == ["sh", "text", "sh", "sh", "text", "sh", "text", "sh"]
    printed: list[str] = []
    for language, text in told:
        if language == "sh":
            printed = fixed(run_shell(text, shell_environment))
        else:
            assert printed[-len(fixed(text)) :] == fixed(text)


def test_the_reasons_are_those_that_the_command_explains() -> None:
    told = re.findall(r"^\| `([A-Z_]+)` \| (.+?) \| (.+) \|$", PAGE.text, re.MULTILINE)
    said = [(reason, LINK.sub(r"\1", meaning), remedy) for reason, meaning, remedy in told]
    assert said == [(reason, advice.meaning, advice.remedy) for reason, advice in ADVICE.items()]


def test_the_headers_are_those_that_are_written() -> None:
    router = Router(Topics("orc"), hosting(lab_machine()).registry, "group", "1.2.3")
    outcome = DeadLettered(DeadLetterReason.NO_INSTANCE, "NoInstance", "why")
    record = Record(0, 1, NOW, None, b"value", ())
    first = router.dead_letter(record, outcome, NOW)
    written = [
        first,
        router.dead_letter_without_bytes(record, outcome, NOW),
        router.refused_output(Output("orc.default", None, b"value", ()), outcome, (0, 1), NOW),
    ]
    assert told("dlq-") == {name for one in written for name, _ in one.headers}
    letter = read_record(Record(0, 5, NOW, first.key, first.value, first.headers))
    assert isinstance(letter, DeadLetter)
    marker = redriven(letter, letter.original, "orc.dlq", Target(1, 1_000_000), NOW).marker.output
    assert told("redriven-") == {name for name, _ in marker.headers}


def told(prefix: str) -> set[str]:
    """Give the names of headers in the first column of a table."""
    cells = re.findall(rf"^\| (`{prefix}.+?) \|", PAGE.text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(.+?)`", cell)}
