"""The Dockerfile keeps its rules. That the image works is shown by `make image-check`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.release.pythons import VERSIONS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text()
HADOLINT = Path(sys.executable).with_name("hadolint")
STEPS = re.sub(r"\\\n\s*", "", re.sub(r"^\s*#.*\n", "", TEXT, flags=re.MULTILINE)).splitlines()


def steps(kind: str, of: list[str] = STEPS) -> list[str]:
    return [step.partition(" ")[2].strip() for step in of if step.startswith(f"{kind} ")]


FINAL = STEPS[max(number for number, step in enumerate(STEPS) if step.startswith("FROM ")) :]


def lint(text: str) -> str:
    done = subprocess.run([HADOLINT, "-"], check=False, capture_output=True, text=True, input=text)
    assert done.returncode == (1 if done.stdout else 0), done.stderr
    return done.stdout


def test_the_linter_finds_nothing() -> None:
    assert lint(TEXT) == ""


@pytest.mark.parametrize(
    ("step", "rule"),
    [
        ("USER root", "DL3002"),
        ("RUN cd /opt", "DL3003"),
        ("RUN apt-get update && apt-get install -y curl", "DL3008"),
        ("FROM debian", "DL3006"),
        ("CMD worker run", "DL3025"),
    ],
)
def test_the_linter_finds_a_fault(step: str, rule: str) -> None:
    assert rule in lint(f"{TEXT}{step}\n")


def test_the_base_is_a_python_that_is_tested_and_both_stages_have_it() -> None:
    (base,) = steps("ARG", STEPS[:1])
    (tag,) = re.findall(r"BASE=python:(3\.\d+)-slim-\w+", base)
    assert tag in VERSIONS
    assert {stage.split()[0] for stage in steps("FROM")} == {"${BASE}"}


def test_it_runs_as_a_number_that_is_no_root_and_ends_as_it_should() -> None:
    assert steps("USER", FINAL) == ["10001:10001"]
    assert steps("STOPSIGNAL", FINAL) == ["SIGTERM"]
    assert [step.rpartition("CMD ")[2] for step in steps("HEALTHCHECK", FINAL)] == ['["worker", "health"]']
    assert (steps("ENTRYPOINT", FINAL), steps("CMD", FINAL)) == (['["worker"]'], ['["run"]'])


def test_all_that_is_installed_is_held_by_hashes_or_comes_from_no_index() -> None:
    installs = re.findall(r"pip [^&]*?install[^&]*", " ".join(steps("RUN")))
    assert len(installs) == 3
    for install in installs:
        assert ("--require-hashes" in install) != ("--no-index" in install), install
    for lock in re.findall(r"--requirement (\S+)", TEXT):
        assert (ROOT / lock).exists()


def test_the_context_has_what_the_wheel_is_made_of() -> None:
    let_in = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert [name for name in let_in if not (ROOT / name).exists()] == []
    included = re.findall(r"^only-include = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[0]
    needed = {*re.findall(r'"(.+?)"', included), "LICENSE", "README.md", "pyproject.toml"}
    assert needed | {"requirements-build.lock", "requirements-image.lock"} == {*let_in}
