"""The examples' pages: excerpts and pictures are held against the files, and what is to be pasted is run."""

import re
from pathlib import Path

import pytest

from tests.acceptance.commands import ROOT
from tests.docs.pages import run_shell
from worker.core.machines import Machine
from worker.machine_loader import load_machines

INDEX = ROOT / "docs" / "examples.md"
PAGES = sorted((ROOT / "machines").glob("*/README.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ARROW = re.compile(r"^ *([\w*\[\]]+) --> ([\w*\[\]]+)(?:: .+)?$", re.MULTILINE)
POINT = "[*]"
STOP_AT_THE_END = "trap 'for job in $(jobs -p); do kill $job; done; wait || true' EXIT\n"
TO_EXAMPLES = re.compile(r"\]\(\.\./(machines/\w+)/README\.md\)")

Arrows = frozenset[tuple[str, str]]


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in BLOCK.findall(page.read_text()) if language in languages]


def named(page: Path) -> str:
    return page.parent.name


def drawn(picture: str) -> Arrows:
    return frozenset(ARROW.findall(picture))


def arrows_of(machine: Machine) -> Arrows:
    """Give source and target of every transition that has a target."""
    transitions = machine.chart.statechart.transitions
    return frozenset((one.source, one.target) for one in transitions if one.target is not None)


@pytest.mark.parametrize(
    ("page", "text"), [(page, text) for page in PAGES for text in blocks(page, "python", "yaml")], ids=str
)
def test_excerpts_are_what_the_files_say(page: Path, text: str) -> None:
    heading, _, excerpts = text.partition("\n")
    file = ROOT / heading.removeprefix("# ")
    assert file.parent == page.parent
    content = file.read_text()
    for excerpt in excerpts.split("# …\n"):
        assert excerpt.strip()
        assert excerpt.strip("\n") in content


@pytest.mark.parametrize(
    ("page", "picture"),
    [(page, text) for page in PAGES for text in blocks(page, "mermaid") if text.startswith("stateDiagram")],
    ids=lambda value: named(value) if isinstance(value, Path) else "picture",
)
def test_a_picture_shows_the_transitions_of_a_chart(page: Path, picture: str) -> None:
    machines = load_machines([f"machines.{named(page)}"], ROOT)
    between = frozenset(arrow for arrow in drawn(picture) if POINT not in arrow)
    (machine,) = [one for one in machines if arrows_of(one) == between]
    states = machine.chart.statechart
    for source, target in drawn(picture) - between:
        if source == POINT:
            assert states.state_for(states.parent_for(target)).initial == target
        else:
            assert states.parent_for(source) == states.root
            assert not states.transitions_from(source)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_page_has_its_parts(page: Path) -> None:
    headings = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)
    assert headings[1:] == ["Try it", "Its tests"]
    assert any(text.startswith("stateDiagram") for text in blocks(page, "mermaid"))
    languages = {language for language, _ in BLOCK.findall(page.read_text())}
    assert languages <= {"mermaid", "python", "sh", "yaml"}


def test_the_index_names_every_example() -> None:
    folders = {f"machines/{chart.parent.name}" for chart in (ROOT / "machines").glob("*/*.yaml")}
    assert set(TO_EXAMPLES.findall(INDEX.read_text())) == folders


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_shell_blocks_do_what_they_say(page: Path, shell_environment: dict[str, str]) -> None:
    printed = run_shell(STOP_AT_THE_END + "".join(blocks(page, "sh")), shell_environment)
    assert ".done" in printed.splitlines()[-1]
