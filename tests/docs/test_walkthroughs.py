"""Pages that build something in an empty folder: their files are written there, their commands run, output compared.

These are start.md and services.md.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

from tests.acceptance.commands import ROOT, environment, exports, running, temporary_folders
from tests.docs.pages import Page
from worker.adapters.embedded.postgres import wheel_binaries
from worker.core.engine.outline import outline_of
from worker.core.graphs.svg import svg_of
from worker.core.graphs.wording import Heading
from worker.settings import Settings

PAGES = (Page("docs/start.md"), Page("docs/services.md"))
FILE = re.compile(r"# ([\w/]+\.py)\n")
ASSIGNMENT = re.compile(r"(WORKER_\w+)=(\S+) ")
EXPORT = re.compile(r"^export (WORKER_\w+)=(\S+)$", re.MULTILINE)
VARIES = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:]+Z|\d\d:\d\d:\d\d\.\d+|[0-9a-f]{8}-[0-9a-f-]{27}|\b[0-9a-f]{8}(?:[0-9a-f]{4})?\b|\d+:\d+"
    r"|\d+s ago|\[\d+\]@\d+|  +",
    re.MULTILINE,
)
"""Moments, names, places, and the widths of columns."""

TIMEOUT_SECONDS = 180

GOES_ON = {
    "worker dev": "The worker's log",
    "worker serve greeting": '"event": "serving"',
    "worker serve hello.services": '"event": "serving"',
}
"""What goes on until Ctrl-C, and what it says when it is up."""

EXCERPTS = ("# a person's tool\n", "# an effect of one's own\n")
"""Blocks of programs that are not built on these pages."""


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=str)
def test_the_page_works(page: Page) -> None:
    variables: dict[str, str] = {}
    blocks = [block for block in page.all_blocks() if not block[1].startswith("make setup\n")]
    with temporary_folders() as folder, ExitStack() as stack:
        write_files(page, folder)
        for (language, text), (following, output) in pairwise([*blocks, ("", "")]):
            if language != "sh":
                continue
            variables |= dict(EXPORT.findall(text))
            given = dict(ASSIGNMENT.findall(text))
            command = ASSIGNMENT.sub("", text).strip()
            if command in GOES_ON:
                variables |= started(stack, folder, command, variables | given)
                continue
            said = run(folder, text, variables)
            if following == "text":
                assert fixed(said) == fixed(output)


def write_files(page: Page, folder: Path) -> None:
    for text in page.blocks("python"):
        if named := FILE.match(text):
            (folder / named[1]).parent.mkdir(exist_ok=True)
            (folder / named[1]).write_text(text)


def started(stack: ExitStack, folder: Path, command: str, given: Mapping[str, str]) -> dict[str, str]:
    """Start what goes on, and give the variables that it tells others to export."""
    place = folder / f"output-{command.replace(' ', '-')}"
    place.mkdir()
    program = stack.enter_context(running(*command.split(), given=given, folder=place, directory=folder))
    program.wait_for(GOES_ON[command])
    return exports(program.output)


def run(folder: Path, script: str, variables: Mapping[str, str]) -> str:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"], str(wheel_binaries())))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment({**variables, "PATH": path, "PYTHONPATH": str(ROOT)}),
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def fixed(text: str) -> list[str]:
    """Give the lines without what varies, sorted: events of several topics may change places."""
    return sorted(VARIES.sub(" … ", line.strip()) for line in text.splitlines() if line.strip())


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_program_is_written_or_an_excerpt(page: Page) -> None:
    excerpts = [text for text in page.blocks("python") if not FILE.match(text)]
    assert {text[: text.index("\n") + 1] for text in excerpts} <= set(EXCERPTS)
    for text in page.blocks("python"):
        compile(text, str(page), "exec")


def test_the_picture_is_that_of_the_machine() -> None:
    page, _ = PAGES
    code, *_ = page.blocks("python")
    module = ModuleType("hello")
    exec(compile(code, str(page), "exec", dont_inherit=True), vars(module))  # noqa: S102 - The page's own code.
    machine = vars(module)["machine"]
    picture = (ROOT / "docs" / "images" / "hello.svg").read_text()
    assert svg_of(outline_of(machine.chart), Heading.of_machine(machine)).strip() == picture.strip()


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_the_settings_are_there(page: Page) -> None:
    for name in re.findall(r"`WORKER_(\w+?)(?:=\w+)?`", page.text):
        assert name.startswith("KAFKA__") or name.lower() in Settings.model_fields, name
