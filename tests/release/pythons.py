"""Run the tests that tell most for their time in each supported Python, or with the oldest dependencies.

    python -m tests.release.pythons [3.12 …]    in each of these Pythons, as locked
    python -m tests.release.pythons --lowest    in the oldest one, with the lowest versions that pyproject.toml allows

A Python is looked for on the path and among pyenv's; root, on Debian, takes it from a clean root of the release that
has it. Ends with a table, and with 1 if anything failed or a Python could not be had.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.release.roots import Root, debian, lacking

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "pythons"
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
DEBIAN = {"3.13": "trixie", "3.14": "forky"}
"""Debian releases with a Python of this version."""

SELECTION = (
    "machines",
    "tests/core",
    "tests/orchestrator",
    "tests/runtime",
    "tests/services",
    "tests/tracing",
    "tests/test_settings.py",
    "tests/test_machine_loader.py",
    "tests/acceptance/test_demo.py::test_the_demo_ends_with_one_line_and_leaves_nothing_behind",
)
TEST_TOOLS = (
    "hypothesis",
    "packaging",
    "pytest",
    "pytest-randomly",
    "pytest-timeout",
    "pytest-xdist",
    "editables",
    "hatchling",
)
TESTS_AT_ONCE = 2
UV = str(Path(sys.executable).with_name("uv"))
# What a program in a root needs of the machine, to reach the package index.
REACH = {Path(name): name for name in ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs")}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a Python is: in the machine, or in a root that has the project mounted at the same path."""

    program: str
    root: Root | None = None

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        command = list(words) if self.root is None else self.root.command(words)
        return subprocess.run(command, cwd=ROOT, check=check, env=_environment())


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one run of the tests."""

    name: str
    passed: bool
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="tests.release.pythons", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("versions", nargs="*", default=VERSIONS)
    parser.add_argument("--lowest", action="store_true")
    given = parser.parse_args(arguments)
    runs = [tried(version, lowest=given.lowest) for version in (VERSIONS[:1] if given.lowest else given.versions)]
    for run in runs:
        print(f"{run.name:24} {'passed' if run.passed else 'FAILED'} {run.seconds:8.0f} s")
    return 0 if all(run.passed for run in runs) else 1


def tried(version: str, *, lowest: bool) -> Run:
    """Make the environment, and run the selection in it."""
    name = f"Python {version}{', lowest' if lowest else ''}"
    place = located(version)
    if place is None:
        print(
            f"{name}: not found, neither on the path nor among pyenv's; {lacking('mmdebstrap') or 'no Debian has it'}"
        )
        return Run(name, passed=False, seconds=0)
    environment = FOLDER / f"{version}{'-lowest' if lowest else ''}"
    python = str(environment / "bin" / "python")
    place.run(UV, "venv", "--quiet", "--clear", "--python", place.program, str(environment))
    if lowest:
        place.run(
            UV, "pip", "install", "--quiet", "--python", python, "--requirement", str(lowest_versions()), *TEST_TOOLS
        )
    else:
        place.run(UV, "pip", "sync", "--quiet", "--python", python, "--require-hashes", "requirements.lock")
    place.run(
        UV, "pip", "install", "--quiet", "--python", python, "--no-deps", "--no-build-isolation", "--editable", "."
    )
    begun = time.monotonic()
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", str(TESTS_AT_ONCE), *SELECTION]
    done = place.run(python, *tests, check=False)
    return Run(name, passed=done.returncode == 0, seconds=time.monotonic() - begun)


def lowest_versions() -> Path:
    """Write down the lowest versions of what pyproject.toml names, and what they need."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    output = FOLDER / "lowest.txt"
    command = [UV, "pip", "compile", "pyproject.toml", "--extra", "embedded", "--extra", "otlp", "--quiet"]
    command += ["--resolution", "lowest-direct", "--python-version", VERSIONS[0], "--output-file", str(output)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return output


def located(version: str) -> Place | None:
    """Find a Python that works."""
    for program in _candidates(version):
        if subprocess.run([program, "-c", ""], check=False, capture_output=True).returncode == 0:
            return Place(program)
    if version not in DEBIAN or lacking("mmdebstrap"):
        return None
    folder = FOLDER / f"root-{version}"
    if not folder.exists():
        folder.mkdir(parents=True)
        archive = debian(DEBIAN[version], [f"python{version}"])
        subprocess.run(["tar", "--extract", "--file", str(archive), "--directory", str(folder)], check=True)
    root = Root(folder, directory=str(ROOT), mounts=REACH | {ROOT: str(ROOT)})
    return Place(f"/usr/bin/python{version}", root)


def _candidates(version: str) -> Iterator[str]:
    found = subprocess.run(
        ["/usr/bin/env", "which", "-a", f"python{version}"], check=False, capture_output=True, text=True
    )
    yield from found.stdout.split()
    yield from map(str, sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}")))


def _environment() -> dict[str, str]:
    settled = {name: value for name, value in os.environ.items() if not name.startswith(("WORKER_", "VIRTUAL_ENV"))}
    # uv warns of environments on another file system than its cache; hypothesis sets deadlines, which a busy machine
    # misses, but not where CI is.
    return settled | {"UV_LINK_MODE": "copy", "CI": "true"}


if __name__ == "__main__":
    sys.exit(main())
