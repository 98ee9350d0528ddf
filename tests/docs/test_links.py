"""Links between pages lead to a file that is there, and to a heading that it has."""

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.acceptance.commands import ROOT
from tests.docs.pages import Page, all_pages

LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
OTHERS = sorted(str(path.relative_to(ROOT)) for form in ("[A-Z]*.md", "machines/*/*.md") for path in ROOT.glob(form))
NO_SLUG = re.compile(r"[^\w\- ]")


@cache
def anchors(page: Path) -> frozenset[str]:
    """Give the anchors of a page's headings, as code hosts and the site make them."""
    seen: Counter[str] = Counter()
    found: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", page.read_text())):
        slug = NO_SLUG.sub("", re.sub(r"\[(.+?)\]\(.+?\)", r"\1", heading).lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return frozenset(found)


def faults(page: Page, text: str) -> list[str]:
    found = []
    for target, anchor in LINK.findall(FENCE.sub("", text)):
        file = (page.path.parent / target).resolve() if target else page.path
        if not file.exists():
            found.append(f"{target} is not there")
        elif anchor and anchor not in anchors(file):
            found.append(f"{target}#{anchor}: there is no such heading")
    return found


@pytest.mark.parametrize("page", [*all_pages(), *map(Page, OTHERS)], ids=str)
def test_links_lead_somewhere(page: Page) -> None:
    assert faults(page, page.text) == []


@pytest.mark.parametrize("text", ["[a](nowhere.md)", "[a](operating.md#nowhere)", "[a](#nowhere)"])
def test_a_link_that_leads_nowhere_is_found(text: str) -> None:
    assert len(faults(Page("docs/operating.md"), text)) == 1
    assert faults(Page("docs/operating.md"), "[a](operating.md#ready)") == []
