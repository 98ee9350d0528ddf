"""The README.md: its commands are run, in order, on the servers of `worker dev`, and its machine is tested."""

import re
from pathlib import Path

import pytest

from tests.acceptance.commands import ROOT
from tests.docs.pages import Page, run_code, run_shell
from worker.demo.playground import DATABASE_URL
from worker.testing import Scenario

README = Page("README.md")
SHELL = README.blocks("sh")

MAKE = re.compile(r"make( \w+)? +#.*")
PLACEHOLDER = re.compile(r"export WORKER_\w+=.*")
RUN = "WORKER_CREATE_TOPICS=true worker run"


def runnable(text: str) -> list[str]:
    """Leave out the lines that run the tests again, and those that stand for the reader's own addresses."""
    return [line for line in text.splitlines() if not MAKE.fullmatch(line) and not PLACEHOLDER.fullmatch(line)]


@pytest.mark.slow
def test_the_shell_blocks_do_what_they_say(
    shell_environment: dict[str, str], database_url: str, tmp_path: Path
) -> None:
    for text in SHELL:
        lines = runnable(text)
        variables = dict(shell_environment)
        if RUN in lines:
            # A worker on servers of the reader's own: another database, and so another group and other topics.
            variables |= {DATABASE_URL: database_url, "WORKER_GROUP_ID": "own", "WORKER_TOPIC_PREFIX": "own"}
            log = tmp_path / "worker.log"
            runs = f"until grep -q running {log}; do kill -0 $!; sleep 0.1; done; kill -0 $!"
            lines[lines.index(RUN)] = f"{RUN} >{log} 2>&1 & trap 'kill $!; wait $!' EXIT; {runs}"
        run_shell("\n".join(lines), variables)


def test_lines_that_are_not_run_are_few() -> None:
    left_out = [line for text in SHELL for line in text.splitlines() if line not in runnable(text)]
    targets = [line.partition("#")[0].split()[1:] for line in left_out if line.startswith("make")]
    makefile = (ROOT / "Makefile").read_text()
    for target in targets:
        assert not target or re.search(rf"^{target[0]}:", makefile, re.MULTILINE), target
    assert len(left_out) == len(targets) + 2


def test_the_machine_passes_its_test() -> None:
    assert len(README.code()) == 2
    run_code(README)["test_it_ends_with_what_the_service_says"](Scenario)
