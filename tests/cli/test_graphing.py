"""`worker machines graph`: the picture of the machine that is named."""

from pathlib import Path

from tests.acceptance.commands import ROOT
from tests.cli.test_machines import machines


def test_a_machine_is_drawn_as_mermaid_or_into_a_file_as_svg(tmp_path: Path) -> None:
    drawn = machines("graph", "arvo.orc.order", folder=ROOT)
    assert drawn.returncode == 0, drawn.stderr
    assert "stateDiagram-v2" in drawn.stdout
    assert "reserving --> approving : evt.inventory.reserve.success" in drawn.stdout
    file = tmp_path / "order.svg"
    written = machines("graph", "arvo.orc.order@1.0.0", "--format", "svg", "--output", str(file), folder=ROOT)
    assert (written.returncode, written.stdout) == (0, "")
    picture = file.read_text()
    assert picture.startswith("<svg ")
    assert picture.endswith("</svg>\n")


def test_the_newest_version_is_drawn_unless_one_is_named() -> None:
    newest = machines("graph", "arvo.orc.subscription", folder=ROOT).stdout
    assert newest == machines("graph", "arvo.orc.subscription@2.0.0", folder=ROOT).stdout
    assert newest != machines("graph", "arvo.orc.subscription@1.0.0", folder=ROOT).stdout


def test_what_is_not_there_is_told_of(tmp_path: Path) -> None:
    unknown = machines("graph", "arvo.orc.nobody", folder=ROOT)
    assert unknown.returncode == 2
    assert "there is no machine arvo.orc.nobody; there are arvo.orc.approval@1.0.0, " in unknown.stderr
    assert "name the machine to draw: arvo.orc.approval@1.0.0" in machines("graph", folder=ROOT).stderr
    order = ("graph", "arvo.orc.order")
    assert "--format png: expected mermaid or svg" in machines(*order, "--format", "png", folder=ROOT).stderr
    nowhere = machines(*order, "--output", str(tmp_path / "no" / "order.svg"), folder=ROOT)
    assert "can't be written" in nowhere.stderr
