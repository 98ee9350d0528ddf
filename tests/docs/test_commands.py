"""The pages on the commands: every command is there, and their tables are the code's."""

import re

from typer.main import get_command

from tests.docs.pages import Page
from tests.docs.reference_commands import commands
from worker.cli.app import app
from worker.cli.doctor import STATUS
from worker.cli.doctor_findings import Level
from worker.core.engine.explaining import Verdict
from worker.terminal.faults import FAILED, INTERRUPTED, SETUP_FAULT

COMMANDS, INSTANCES, DOCTOR = Page("docs/commands.md"), Page("docs/instances.md"), Page("docs/doctor.md")


def first_cells(page: Page, heading: str) -> list[str]:
    """Give the first column of the table that has this heading."""
    rows = page.text.partition(f"\n| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [row.split(" | ")[0].removeprefix("| ") for row in rows]


def test_every_command_is_told() -> None:
    told = [cell.strip("`") for cell in first_cells(COMMANDS, "command")]
    assert sorted(told) == sorted(dict(commands(get_command(app))))


def test_the_exit_statuses_are_those_of_the_code() -> None:
    assert first_cells(COMMANDS, "exit status") == ["0", str(FAILED), str(SETUP_FAULT), str(INTERRUPTED)]
    told = re.findall(r"^\| (`.+?`) \| (\d) \|", DOCTOR.text, re.MULTILINE)
    assert {name: int(status) for names, status in told for name in re.findall(r"`(\w+)`", names)} == {
        level.name.lower(): STATUS[level] for level in Level
    }


def test_the_options_and_verdicts_are_those_of_the_code() -> None:
    options = re.findall(r"`--(\w+)", " ".join(first_cells(INSTANCES, "option")))
    listing = dict(commands(get_command(app)))["worker instances list"]
    others = {"limit", "after", "as_json"}
    assert options == [str(one.name) for one in listing.params if one.name not in others]
    for verdict in Verdict:
        assert f"`{verdict.value}`" in INSTANCES.text
