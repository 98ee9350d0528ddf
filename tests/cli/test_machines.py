"""`worker machines`: what it prints, and how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.commands import ROOT

MACHINE = """
from pydantic import BaseModel
from worker import create_orchestrator_contract, setup_machine

class Empty(BaseModel):
    pass

contract = create_orchestrator_contract(
    uri="#/orc/NAME", name="NAME", versions={"1.0.0": {"init": Empty, "complete": Empty}}
)
machine = setup_machine(contract=contract.version("1.0.0"), statechart="shop/NAME.yaml")
"""
STUCK = """
statechart:
  name: stuck
  root state:
    name: root
    initial: waiting
    states:
      - name: waiting
      - name: end
        type: final
"""
BROKEN = STUCK.replace("- name: waiting", "- name: waiting\n        on entry: 'x ='")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "__init__.py").touch()
    for name, chart in (("stuck", STUCK), ("broken", BROKEN)):
        (folder / f"{name}.py").write_text(MACHINE.replace("NAME", name))
        (folder / f"{name}.yaml").write_text(chart)
    (folder / "again.py").write_text("from shop.broken import machine\n")
    (folder / "imported.py").write_text("\nx = (\n")
    (folder / "text.py").write_text(MACHINE.replace("NAME", "text").replace('"shop/text.yaml"', f'"""{STUCK}"""'))
    (folder / "wrong.py").write_text(MACHINE.replace("NAME", "wrong").replace("machine(", "machine(version='2.0.0', "))
    return tmp_path


def machines(*arguments: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "worker", "machines", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **settings},
        timeout=60,
    )


def test_the_examples_are_listed_and_clean() -> None:
    listed = machines("list", folder=ROOT)
    assert listed.returncode == 0, listed.stderr
    head, *rows = listed.stdout.splitlines()
    assert head.split() == ["MACHINE", "VERSION", "STATES", "SERVICES", "DOMAINS", "LOCKING", "FILE"]
    assert "arvo.orc.order 1.0.0 7 3 default,external yes machines/order/order.yaml" in [
        " ".join(row.split()) for row in rows
    ]
    checked = machines("check", folder=ROOT)
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout
    assert checked.stderr == f"{len(rows)} machines checked, 0 findings\n"


def test_the_list_as_json_has_a_line_for_each_machine() -> None:
    rows = [json.loads(line) for line in machines("list", "--json", folder=ROOT).stdout.splitlines()]
    (order,) = [row for row in rows if row["source"] == "arvo.orc.order"]
    assert order["services"][0] == {
        "type": "com.inventory.reserve",
        "version": "1.0.0",
        "uri": "#/services/inventory",
    }
    assert order["requires_locking"] is True
    assert "reserving" in order["states"]


def test_a_finding_has_its_line_and_a_machine_that_fails_hides_no_other(shop: Path) -> None:
    done = machines("check", "shop", folder=shop)
    assert done.returncode == 1, done.stderr
    broken, imported, wrong, *others = done.stdout.splitlines()
    assert broken.startswith("shop/broken.yaml:9: set-up: state 'waiting', on entry: the code doesn't compile: ")
    assert broken.endswith(". The worker does not start until it is corrected.")
    assert imported.startswith("shop/imported.py:2: set-up: The module 'shop.imported' can't be imported: SyntaxError")
    assert wrong.startswith("shop/wrong.py:11: set-up: machine arvo.orc.wrong 1.0.0: Version mismatch")
    assert [line.partition(": The")[0].partition(": No")[0] for line in others] == [
        "shop/stuck.yaml:8: dead-end",
        "shop/stuck.yaml:9: unreachable-state",
        "arvo.orc.text 1.0.0, line 8 of its chart: dead-end",
        "arvo.orc.text 1.0.0, line 9 of its chart: unreachable-state",
    ]
    assert done.stderr == "2 machines checked, 7 findings; 3 modules could not be set up\n"


def test_findings_as_json(shop: Path) -> None:
    done = machines("check", "--json", folder=shop, WORKER_MACHINES="shop.stuck")
    assert done.returncode == 1, done.stderr
    assert next(json.loads(line) for line in done.stdout.splitlines()) == {
        "rule": "dead-end",
        "machine": "arvo.orc.stuck",
        "version": "1.0.0",
        "file": "shop/stuck.yaml",
        "line": 8,
        "message": "The state 'waiting' can't be left and is not final.",
        "remedy": "Give it a transition that leaves it, or `type: final`.",
    }


def test_a_set_up_that_fails_as_json(shop: Path) -> None:
    done = machines("check", "shop.broken", "--json", folder=shop)
    (found,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (1, "")
    assert (found["rule"], found["machine"], found["file"], found["line"]) == ("set-up", None, "shop/broken.yaml", 9)
    assert found["message"].startswith("state 'waiting', on entry: the code doesn't compile")


def test_wrong_use_and_wrong_settings_end_with_2(shop: Path) -> None:
    (shop / "shop" / "broken.py").unlink()
    for arguments, settings, text in (
        (["nowhere"], {}, "The package 'nowhere' of the command line is not found"),
        (["shop.stuck", "nowhere"], {}, "The package 'nowhere' of the command line is not found"),
        ([], {"WORKER_MACHINES": "nowhere"}, "The package 'nowhere' of WORKER_MACHINES is not found"),
        (["json"], {}, "The package 'json' of the command line has no machine"),
        ([], {"WORKER_MACHINE": "shop"}, "did you mean WORKER_MACHINES?"),
        (["--yaml"], {}, "No such option: --yaml"),
    ):
        done = machines("check", *arguments, folder=shop, **settings)
        assert done.returncode == 2, done.stderr
        assert text in done.stderr
        assert done.stdout == ""
