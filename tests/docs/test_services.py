"""The page on services: its files are written into an empty folder, its commands run there, its output compared."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from tests.acceptance.commands import ROOT, environment, exports, running, temporary_folders
from worker.settings import Settings

PAGE = (ROOT / "docs" / "services.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w/]+\.py)\n")
ASSIGNMENT = re.compile(r"(WORKER_\w+)=(\S+)")
TIMEOUT_SECONDS = 60

# What goes on until Ctrl-C, and what it says when it is up.
GOES_ON = {"worker dev": "The worker's log", "worker serve greeting": '"event": "serving"'}
# Excerpts of programs that are not built on this page.
EXCERPTS = ("# a person's tool\n", "# an effect of one's own\n")


def files() -> Iterator[tuple[str, str]]:
    for language, text in BLOCKS:
        if language == "python" and (named := FILE.match(text)):
            yield named[1], text


@pytest.fixture
def folder() -> Iterator[Path]:
    with temporary_folders() as made:
        for name, text in files():
            (made / name).parent.mkdir(exist_ok=True)
            (made / name).write_text(text)
        yield made


@pytest.mark.slow
def test_the_commands_do_what_the_page_says(folder: Path) -> None:
    variables: dict[str, str] = {}
    with ExitStack() as stack:
        for (language, text), (following, output) in pairwise([*BLOCKS, ("", "")]):
            if language != "sh":
                continue
            given = dict(ASSIGNMENT.findall(text))
            command = ASSIGNMENT.sub("", text).strip()
            if command in GOES_ON:
                variables |= started(stack, folder, command, variables | given)
                continue
            said = run(folder, command, variables)
            if following == "text":
                assert said == output


def started(stack: ExitStack, folder: Path, command: str, given: Mapping[str, str]) -> dict[str, str]:
    """Start what goes on, and give the variables that it tells others to export."""
    place = folder / f"output-{command.replace(' ', '-')}"
    place.mkdir()
    program = stack.enter_context(running(*shlex.split(command), given=given, folder=place, directory=folder))
    program.wait_for(GOES_ON[command])
    return exports(program.output)


def run(folder: Path, command: str, variables: Mapping[str, str]) -> str:
    words = shlex.split(command)
    assert words[0] == "python"
    done = subprocess.run(
        [sys.executable, *words[1:]],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment({**variables, "PYTHONPATH": str(ROOT)}),
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_block_is_of_a_kind_that_is_looked_at() -> None:
    assert {language for language, _ in BLOCKS} == {"python", "sh", "text"}
    python = [text for language, text in BLOCKS if language == "python"]
    excerpts = [text for text in python if not FILE.match(text)]
    assert [text[: text.index("\n") + 1] for text in excerpts] == list(EXCERPTS)
    for text in python:
        compile(text, "services.md", "exec")


def test_settings_and_links_are_there() -> None:
    for name in re.findall(r"`WORKER_(\w+?)(?:=\w+)?`", PAGE):
        assert name.startswith("KAFKA__") or name.lower() in Settings.model_fields, name
    for target in re.findall(r"\]\(([^)h][^)]*)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
