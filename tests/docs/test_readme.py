"""The README's commands are run, in order, on the servers of `worker dev`; its excerpts and tables are compared."""

import re
from pathlib import Path

import pytest

from tests.acceptance.commands import ROOT
from tests.docs.pages import Page, assert_excerpts, assert_links, run_shell
from worker.demo.playground import DATABASE_URL
from worker.settings import Settings

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


def test_excerpts_are_what_the_files_say() -> None:
    assert len(README.excerpts()) == len(README.blocks("python", "yaml"))
    assert_excerpts(README)


def test_all_blocks_are_of_a_kind_that_is_looked_at() -> None:
    assert README.languages == {"python", "sh", "text", "yaml"}


def test_the_settings_table_is_what_the_settings_say() -> None:
    told = re.findall(r"^\| `(WORKER_\w+(?:<PROPERTY>)?)` \| (.*?) \| (.*?) \|$", README.text, re.MULTILINE)
    assert told == [row(name) for name in Settings.model_fields]


def row(name: str) -> tuple[str, str, str]:
    field = Settings.model_fields[name]
    description = str(field.description).replace("<", "&lt;").replace(">", "&gt;")
    if name == "kafka_properties":
        return "WORKER_KAFKA__<PROPERTY>", "", description
    value = field.default
    if field.is_required() or value is None:
        shown = ""
    elif isinstance(value, tuple):
        shown = ",".join(value)
    else:
        shown = str(value).lower() if isinstance(value, bool) else str(value)
    return f"WORKER_{name.upper()}", f"`{shown}`" if shown else "", description


def test_links_lead_somewhere() -> None:
    assert_links(README)
