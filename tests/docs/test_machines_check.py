"""The page on checks: its table is the rules', its commands run, its example is switched off as it says."""

import re

from tests.docs.pages import Page, assert_links, run_shell
from worker.core.checks import RULES

PAGE = Page("docs/machines-check.md")


def test_the_table_is_that_of_the_rules() -> None:
    told = re.findall(r"^\| `([\w-]+)` \| (.+) \|$", PAGE.text, re.MULTILINE)
    assert told == [(name, rule.meaning) for name, rule in RULES.items()]


def test_the_commands_run(reader_environment: dict[str, str]) -> None:
    for block in PAGE.blocks("sh"):
        run_shell(block, reader_environment)


def test_links_lead_somewhere() -> None:
    assert_links(PAGE)
