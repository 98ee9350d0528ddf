"""The names that `worker` gives: all there, typed, and loaded only when they are asked for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import worker
from worker import Orchestrator, SimpleMachineMemory, create_orchestrator


def names_for_type_checkers() -> list[tuple[str, str]]:
    tree = ast.parse(Path(worker.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    return [
        (alias.name, node.module or "")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]


def test_type_checkers_and_programs_see_the_same_names() -> None:
    named = names_for_type_checkers()
    assert sorted(worker.__all__) == sorted(name for name, _ in named)
    for name, module in named:
        assert getattr(worker, name) is getattr(sys.modules[module], name)
    assert set(worker.__all__) <= set(dir(worker))


def test_a_name_that_is_not_there_is_an_error() -> None:
    with pytest.raises(AttributeError, match="module 'worker' has no attribute 'Orchestra'"):
        worker.Orchestra  # type: ignore[attr-defined]  # noqa: B018


def test_reads_as_the_reference_does() -> None:
    from machines.order import machine

    orchestrator: Orchestrator = create_orchestrator(machines=[machine], memory=SimpleMachineMemory(), executionunits=1)
    assert orchestrator.source == "arvo.orc.order"


def test_the_library_is_not_loaded_before_it_is_asked_for() -> None:
    program = "import sys, worker; print(sorted(name for name in sys.modules if name.startswith('worker')))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "['worker']"
