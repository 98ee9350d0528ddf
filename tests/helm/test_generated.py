"""What is made from other files is as they are now."""

import difflib
from pathlib import Path

import pytest

from tests.helm.chart import CHART, ROOT, VALUE_SETS, Helm, load_yaml
from tests.helm.documented import documented_values
from tests.helm.generate import files_without_helm, snapshot, snapshot_file
from tests.helm.schema import REFINED, SET_BY_THE_CHART, TERMINATION_SECONDS_MIN, values_schema
from worker.bootstrap import STOP_SECONDS, WORKER_VERSION
from worker.settings import Settings

AGAIN = "run `make chart`, and look at what it changed"


@pytest.mark.parametrize("path", files_without_helm(), ids=lambda path: path.name)
def test_file_is_current(path: Path) -> None:
    assert path.read_text() == files_without_helm()[path], f"{path.relative_to(ROOT)} is old: {AGAIN}"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("values", VALUE_SETS, ids=lambda path: path.stem)
def test_what_is_rendered_is_as_before(helm: Helm, values: Path) -> None:
    before = snapshot_file(values).read_text().splitlines(keepends=True)
    now = snapshot(helm, values).splitlines(keepends=True)
    assert before == now, f"{AGAIN}\n{''.join(difflib.unified_diff(before, now, 'before', 'now', n=1))}"


def test_a_snapshot_is_of_a_set() -> None:
    assert [path.name for path in VALUE_SETS] == sorted(
        path.name for path in snapshot_file(VALUE_SETS[0]).parent.iterdir()
    )


def test_the_chart_runs_this_worker() -> None:
    assert load_yaml((CHART / "Chart.yaml").read_text())["appVersion"] == WORKER_VERSION


def test_bounds_are_of_values_that_are_there() -> None:
    assert REFINED.keys() <= {value.name for value in documented_values()}


def test_every_setting_can_be_set() -> None:
    settings = values_schema()["properties"]["settings"]["properties"]
    assert settings.keys() | SET_BY_THE_CHART == Settings.model_fields.keys()
    assert not settings.keys() & SET_BY_THE_CHART


def test_pods_are_not_killed_before_the_worker_ends_by_itself() -> None:
    defaults = load_yaml((CHART / "values.yaml").read_text())["rollout"]
    assert STOP_SECONDS < TERMINATION_SECONDS_MIN <= defaults["terminationGracePeriodSeconds"]
    told = next(value.text for value in documented_values() if value.path[-1] == "terminationGracePeriodSeconds")
    assert f"within {STOP_SECONDS:g}" in told
