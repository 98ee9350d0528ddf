"""The core asks for no time, no new id and no file: what import contracts can't see."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "worker" / "core"
IMPURE = {"now", "utcnow", "today", "uuid1", "uuid4", "open", "print", "input", "read_text", "write_text", "getenv"}

AT_SET_UP = {"engine/loading.py": ["read_text"]}
"""A machine may name its chart by a path; it is read once, when the machine is set up."""


def impure_calls(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in IMPURE:
                yield f"line {node.lineno}: {name}"


@pytest.mark.parametrize("module", sorted(CORE.rglob("*.py")), ids=lambda path: str(path.relative_to(CORE)))
def test_a_module_of_the_core_is_pure(module: Path) -> None:
    found = [call.partition(": ")[2] for call in impure_calls(module.read_text())]
    assert found == AT_SET_UP.get(str(module.relative_to(CORE)), [])


def test_impure_calls_are_found() -> None:
    source = "from datetime import datetime\nx = datetime.now()\ny = open('file')\nz = now\n"
    assert list(impure_calls(source)) == ["line 2: now", "line 3: open"]
