"""The site is built without a warning, from all pages, and nothing of it is fetched from elsewhere."""

import re
from pathlib import Path

import pytest

from tests.docs.site import CONFIG, ROOT, build

FETCHED = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)="(?:https?:)?//[^"]*""")
IN_NAV = re.compile(r"^ +- (?:\w+: )?([\w./-]+\.md)$", re.MULTILINE)


def test_the_site_is_built_and_fetches_nothing(tmp_path: Path) -> None:
    site = tmp_path / "site"
    done = build(tmp_path / "source", site)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {str(page.relative_to(site)): page.read_text() for page in site.rglob("*.html")}
    assert {"index.html", "docs/start/index.html", "machines/order/index.html"} <= pages.keys()
    assert {name: found for name, text in pages.items() if (found := FETCHED.findall(text))} == {}
    # A browser would fetch Mermaid's script for these.
    assert [name for name, text in pages.items() if 'class="mermaid"' in text] == []
    assert 'src="arvo.orc.order-1.0.0.svg"' in pages["machines/order/index.html"]


@pytest.mark.parametrize(
    ("text", "warning"),
    [("[away](nowhere.md)", "nowhere.md"), ("[lost](start.md#nowhere)", "#nowhere")],
    ids=["page", "anchor"],
)
def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path, text: str, warning: str) -> None:
    done = build(tmp_path / "source", tmp_path / "site", {"docs/start.md": text})
    assert done.returncode
    assert warning in done.stdout + done.stderr


def test_every_page_is_in_the_navigation() -> None:
    listed = IN_NAV.findall(CONFIG.read_text())
    there = {str(page.relative_to(ROOT)) for folder in ("docs", "machines/*") for page in ROOT.glob(f"{folder}/*.md")}
    assert sorted(there - set(listed)) == []
    assert len(listed) == len(set(listed))
