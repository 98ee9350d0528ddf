"""The page about testing: its code is a test file that is run, and what it says a failed test prints is printed."""

import os
import subprocess
import sys
from pathlib import Path

from tests.acceptance.commands import ROOT
from tests.docs.pages import Page
from worker.testing import LocalBroker, Run

PAGE = Page("docs/testing.md")
TIMEOUT_SECONDS = 100


def printed_by(folder: Path, code: str) -> str:
    """Give what pytest prints of a test file."""
    (folder / "test_page.py").write_text(code, encoding="utf-8")
    arguments = ("-p", "worker.testing.plugin", "-p", "no:cacheprovider", "-W", "error", str(folder))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        timeout=TIMEOUT_SECONDS,
    )
    return done.stdout + done.stderr


def test_the_pages_tests_pass(tmp_path: Path) -> None:
    code = "\n".join(PAGE.code())
    printed = printed_by(tmp_path, code)
    assert code.count("\ndef test_") == 7
    assert " failed" not in printed
    assert " error" not in printed
    assert " passed" in printed
    assert "no tests ran" not in printed


def test_a_failed_test_prints_what_the_page_says(tmp_path: Path) -> None:
    first, *_ = PAGE.code()
    printed = printed_by(tmp_path, first.replace("amount=40, domains", "amount=41, domains"))
    lines = [line.removeprefix("E").removeprefix("       ") for line in printed.splitlines() if line.startswith("E ")]
    (told,) = PAGE.blocks("text")
    assert "\n".join(line.rstrip() for line in lines).strip() == told.strip()


def test_what_the_tables_name_is_there() -> None:
    rows = [line.split(" | ")[0] for line in PAGE.text.splitlines() if line.startswith("| `")]
    named = [part.strip("|` ").partition("(")[0] for row in rows for part in row.split(", `")]
    assert len(named) > 20
    for name in named:
        assert hasattr(Run if name.startswith("then") else LocalBroker, name), name
