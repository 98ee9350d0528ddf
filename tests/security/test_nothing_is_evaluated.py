"""Nothing of an event or a snapshot becomes code, and no module could make it so but those that run charts."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.commands import ROOT

PACKAGE = ROOT / "worker"
OUTCOMES = {"Advanced", "Failed"}
RUNNING_CODE = {"eval", "exec", "compile", "__import__", "import_module"}
RISKY_MODULES = {"ctypes", "marshal", "pickle", "runpy", "shelve", "subprocess"}

ALLOWED = {
    "core/engine": {"eval", "exec", "compile"},
    "machine_loader.py": {"import_module"},
    "demo/contracts.py": {"import_module"},
    "__init__.py": {"import_module"},
    "testing/__init__.py": {"import_module"},
    "adapters/embedded": {"subprocess"},
}
"""Where these are used: charts are run by the engine, packages that the settings name are imported, and `worker dev`
starts its servers."""


def risky(source: str) -> Iterator[str]:
    """Name what a module uses that could turn a text into code, a program or an object."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr="import_module" as name)) if name in RUNNING_CODE:
                yield name
            case ast.Call(func=ast.Attribute(attr="system" | "popen" | "execv" | "execvp" | "unsafe_load" as name)):
                yield name
            case ast.Import(names=names):
                yield from (one.name for one in names if one.name.partition(".")[0] in RISKY_MODULES)
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in RISKY_MODULES:
                yield module
            case ast.Call(func=ast.Name(id="YAML"), keywords=keywords) if not any(_is_safe(one) for one in keywords):
                yield "YAML"


def _is_safe(keyword: ast.keyword) -> bool:
    return keyword.arg == "typ" and isinstance(keyword.value, ast.Constant) and keyword.value.value in ("safe", "rt")


def allowed(module: Path) -> set[str]:
    name = module.relative_to(PACKAGE).as_posix()
    return next((uses for place, uses in ALLOWED.items() if name == place or name.startswith(f"{place}/")), set())


def test_only_those_modules_run_code_that_are_for_it() -> None:
    found = {module: set(risky(module.read_text())) - allowed(module) for module in PACKAGE.rglob("*.py")}
    assert not {module.name: uses for module, uses in found.items() if uses}


@pytest.mark.parametrize(
    "source",
    [
        "eval(x)",
        "exec(x)",
        "import pickle",
        "from pickle import loads",
        "os.system(x)",
        "yaml.unsafe_load(x)",
        "YAML()",
    ],
)
def test_what_runs_code_is_found(source: str) -> None:
    assert list(risky(source))


def audited(folder: Path, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.security.audited", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_texts_that_look_like_code_stay_texts(tmp_path: Path) -> None:
    """In data, subjects, headers, and in snapshots' states, names and values; by both engines."""
    told = audited(tmp_path)
    assert set(told) == OUTCOMES, [one for one in told if one not in OUTCOMES]
    assert not list(tmp_path.iterdir())


def test_what_is_evaluated_would_be_seen(tmp_path: Path) -> None:
    assert any(one.startswith("compile") for one in audited(tmp_path, "--evaluate"))
