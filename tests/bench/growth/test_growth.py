"""Every axis can be measured at its smallest; what it says of time is nobody's business here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.children import ROOT
from tests.bench.growth.__main__ import tables
from tests.bench.growth.axes import AXES, Cost, Point, _events
from tests.bench.growth.machine import make_machine


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.bench.growth", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=220)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_every_axis_is_measured_at_its_smallest(kafka_jars: None, tmp_path: Path) -> None:
    kept = tmp_path / "growth.json"
    done = run("--points", "1", "--events", "100", "--json", str(kept))

    assert done.returncode == 0, done.stdout + done.stderr
    costs = json.loads(kept.read_text())
    assert [(cost["axis"], cost["value"]) for cost in costs] == [(name, axis.values[0]) for name, axis in AXES.items()]
    assert [cost["axis"] for cost in costs if cost["kafka"]] == ["domains"]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_what_is_filled_in_is_there(tmp_path: Path) -> None:
    done = run("journal", "instances", "--points", "2", "--events", "50", "--json", str(tmp_path / "growth.json"))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "10,000" in done.stdout


def test_an_axis_that_there_is_not_is_refused() -> None:
    done = run("wind")

    assert done.returncode == 2
    assert "no such axis: wind" in done.stderr


def test_the_machine_has_as_many_states_and_domains_as_asked() -> None:
    machine = make_machine(states=50, domains=3)

    assert {"domain0", "domain1", "domain2"} <= set(machine.domains)
    assert "s49" in machine.chart.text


def test_of_a_hundred_events_so_many_go_to_one_instance() -> None:
    instances = [instance for instance, _ in _events(Point(instances=500, hot=90), 1_000)]

    assert instances.count(0) == 901
    assert {*instances} == {*range(100)}


def test_costs_stand_to_the_first_of_their_axis() -> None:
    costs = [Cost("states", value, 10, 100, client, 20, 0) for value, client in ((5, 60), (50, 100))]
    (table,) = tables(costs)

    assert [row[-1] for row in table.rows] == ["1.00", "1.50"]
