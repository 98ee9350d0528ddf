"""Loading machines from packages, as `WORKER_MACHINES` names them."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from uuid import uuid4

import pytest

from worker import machine_loader
from worker.core.errors import SetupError
from worker.machine_loader import load_machines

MACHINE = """
from pydantic import BaseModel
from worker.core.contracts import create_orchestrator_contract
from worker.core.machines import setup_machine

class Empty(BaseModel):
    pass

def make(name):
    contract = create_orchestrator_contract(
        uri="#/orc/" + name, name=name, versions={"1.0.0": {"init": Empty, "complete": Empty}}
    )
    return setup_machine(contract=contract.version("1.0.0"), statechart=CHART)

CHART = '''
statechart:
  name: empty
  root state:
    name: root
'''
"""

Package = Callable[[dict[str, str]], str]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """Write a package with these files into `tmp_path`; give its name, which no other test uses."""
    name = f"package_{uuid4().hex}"
    monkeypatch.setattr(sys, "path", sys.path.copy())

    def write(files: dict[str, str]) -> str:
        for path, text in files.items():
            file = tmp_path / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(text))
        return name

    yield write
    for loaded in [module for module in sys.modules if module.partition(".")[0] == name]:
        del sys.modules[loaded]


def test_finds_machines_at_any_depth(package: Package, tmp_path: Path) -> None:
    name = package(
        {
            "__init__.py": "",
            "b/__init__.py": MACHINE + "machine = make('b')\n",
            "a/__init__.py": "",
            "a/deep/__init__.py": "",
            "a/deep/more.py": MACHINE + "machines = [make('c'), make('d')]\n",
            "a/again.py": "from ..b import machine\n",
            "b/test_b.py": "raise RuntimeError('tests are not loaded')\n",
        }
    )
    assert [machine.source for machine in load_machines([name], tmp_path)] == [
        "arvo.orc.b",
        "arvo.orc.c",
        "arvo.orc.d",
    ]


def test_a_package_named_twice_counts_once(package: Package, tmp_path: Path) -> None:
    name = package({"__init__.py": MACHINE + "machine = make('a')\n"})
    assert len(load_machines([name, name], tmp_path)) == 1


def test_a_package_without_machines_is_named(package: Package, tmp_path: Path) -> None:
    name = package({"__init__.py": "machine = 1\nmachines = 2\n"})
    with pytest.raises(SetupError, match=f"'{name}' of WORKER_MACHINES has no machine"):
        load_machines([name], tmp_path)


def test_a_package_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"'nowhere\.below' of WORKER_MACHINES is not found"):
        load_machines(["nowhere.below"], tmp_path)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("\n1 / 0", r"ZeroDivisionError: division by zero \(.*sub\.py, line 2\)"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import nowhere_at_all", "No module named 'nowhere_at_all'"),
        ("x = (", "SyntaxError"),
    ],
)
def test_an_import_that_fails_is_one_text(package: Package, tmp_path: Path, text: str, found: str) -> None:
    name = package({"__init__.py": "", "sub.py": text})
    with pytest.raises(SetupError, match=rf"'{name}\.sub' can't be imported: .*{found}"):
        load_machines([name], tmp_path)


def test_a_refused_machine_keeps_its_text(package: Package, tmp_path: Path) -> None:
    name = package({"__init__.py": MACHINE + "CHART = 'statechart: {}'\nmachine = make('a')\n"})
    with pytest.raises(SetupError, match=r"^machine arvo\.orc\.a 1\.0\.0, line \d+: "):
        load_machines([name], tmp_path)


def test_the_examples_are_found() -> None:
    root = Path(__file__).parents[1]
    found = [f"{machine.source} {machine.version}" for machine in load_machines(["machines"], root)]
    assert found == [
        "arvo.orc.approval 1.0.0",
        "arvo.orc.order 1.0.0",
        "arvo.orc.provisioning 1.0.0",
        "arvo.orc.subscription 1.0.0",
        "arvo.orc.subscription 2.0.0",
        "arvo.orc.ticket 1.0.0",
        "arvo.orc.trip 1.0.0",
        "arvo.orc.flight 1.0.0",
        "arvo.orc.hotel 1.0.0",
        "arvo.orc.payment 1.0.0",
    ]


def test_the_examples_of_the_wheel_stand_in_for_a_folder_that_is_not_there(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = package({"__init__.py": "", "order/__init__.py": MACHINE + "machine = make('order')\n"})
    monkeypatch.setattr(machine_loader, "_EXAMPLES", name)
    monkeypatch.setattr(machine_loader, "EXAMPLES_PACKAGE", "no_such_folder")
    for asked in ("no_such_folder", "no_such_folder.order"):
        assert [machine.source for machine in load_machines([asked], tmp_path)] == ["arvo.orc.order"]
