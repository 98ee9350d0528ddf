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
    *PROJECT["dependency-groups"]["dev"],
    *PROJECT["build-system"]["requires"],
]


@pytest.mark.parametrize("line", DIRECT)
def test_a_dependency_is_locked_as_it_is_asked_for(line: str) -> None:
    asked = Requirement(line)
    pinned = {canonicalize_name(found["name"]): found["version"] for found in PINNED.finditer(LOCK)}
    version = pinned.get(canonicalize_name(asked.name))
    assert version is not None, f"{asked.name} is not in requirements.lock: run `make lock`"
    assert asked.specifier.contains(version), f"{line}, but {version} is locked: run `make lock`"


def test_every_pin_has_hashes_and_nothing_has_an_address() -> None:
    pins = list(PINNED.finditer(LOCK))
    assert len(pins) == len(re.findall(r"^\S", LOCK, re.MULTILINE))
    assert [found["name"] for found in pins if "--hash=sha256:" not in found["rest"]] == []
    assert "://" not in LOCK


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
