"""The page on checks: its table is the rules'."""

import re

from tests.docs.pages import Page
from worker.core.checks import RULES

PAGE = Page("docs/machines-check.md")


def test_the_table_is_that_of_the_rules() -> None:
    told = re.findall(r"^\| `([\w-]+)` \| (.+) \|$", PAGE.text, re.MULTILINE)
    assert told == [(name, rule.meaning) for name, rule in RULES.items()]
