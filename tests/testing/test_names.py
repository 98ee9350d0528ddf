"""The names of `worker.testing`: all there, typed, and loaded only when they are asked for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from worker import testing


def names_for_type_checkers() -> list[tuple[str, str]]:
    tree = ast.parse(Path(str(testing.__file__)).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    return [
        (alias.name, node.module or "")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]


def test_type_checkers_and_programs_see_the_same_names() -> None:
    named = names_for_type_checkers()
    assert sorted(testing.__all__) == sorted(name for name, _ in named)
    for name, module in named:
        assert getattr(testing, name) is getattr(sys.modules[module], name)
    assert set(testing.__all__) <= set(dir(testing))


def test_a_name_that_is_not_there_is_an_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'worker\.testing' has no attribute 'GlobalBroker'"):
        testing.GlobalBroker  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    ("program", "absent"),
    [
        ("import worker.testing.plugin", ["worker.core", "worker.orchestrator", "sismic", "pydantic"]),
        ("from worker.testing import LocalBroker, Scenario", ["pytest", "confluent_kafka", "psycopg", "sqlalchemy"]),
    ],
)
def test_what_is_not_asked_for_is_not_loaded(program: str, absent: list[str]) -> None:
    """A plugin is loaded with every run of pytest, and a broker needs none."""
    listing = f"import sys\n{program}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", listing], check=True, capture_output=True, text=True)
    assert set(done.stdout.split()).isdisjoint(absent)
