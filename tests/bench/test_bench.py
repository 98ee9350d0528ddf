"""The bench runs, prints its rows and keeps them; what they say of time is nobody's business here."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.bench.by_hand import Order
from tests.bench.children import ROOT
from tests.bench.cpu import cpu_seconds
from tests.bench.figures import LatencyFigures, Report, RowFigures, load_report, make_report
from tests.bench.kafka_streams import streams_can_run
from tests.bench.measures import Cpu, Latency, Results, Throughput, percentile
from tests.bench.page import PAGE, PICTURE, put_in
from tests.bench.plot import draw
from tests.bench.report import summary, tables
from tests.bench.rows import BY_HAND, PASSED, Row, make_rows
from worker.settings import ENGINES

ORDERS = 300


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_row_is_measured_and_publishes_the_same(kafka_jars: None, tmp_path: Path) -> None:
    kept = tmp_path / "bench.json"
    arguments = [
        "--orders",
        str(ORDERS),
        "--batch",
        "500",
        "--rounds",
        "1",
        "--latency-seconds",
        "1",
        "--json",
        str(kept),
    ]
    command = [sys.executable, "-m", "tests.bench", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=580)

    assert done.returncode == 0, done.stdout + done.stderr
    report = load_report(kept)
    rows = make_rows(ENGINES, streams=streams_can_run())
    assert [row.name for row in report.rows] == [row.name for row in rows]
    clocked = [row.name for row in rows if isinstance(row, Row) and row.clocked]
    assert [row.name for row in report.rows if set(row.latencies) == {"steady", "half"}] == clocked
    assert report.round_trips == {"1": 5, "500": 5}
    assert all(row.name in done.stdout for row in rows)


def test_every_engine_is_measured_in_both_deliveries_by_one_and_two_processes() -> None:
    names = {row.name for row in make_rows(["any"], streams=True)}

    workers = {"worker, any", "worker, any, two processes", "worker, any, at least once"}
    assert {*workers, "worker, any, at least once, two processes", BY_HAND, "steps alone, any"} < names


def test_ratios_are_the_median_of_the_rounds() -> None:
    cpu = Cpu(0.1, 0.2, 0.0)
    rounds = [(PASSED, 100, 1.0), ("slow", 100, 2.0), ("slow", 100, 4.0), (PASSED, 100, 2.0)]
    runs = [Throughput(name, events, seconds, cpu) for name, events, seconds in [*rounds, (PASSED, 100, 1.0)]]
    runs.append(Throughput("slow", 100, 8.0, cpu))
    report = make_report(Results(runs, [], {}, {}, []))

    slow, passed = report.named("slow"), report.named(PASSED)
    assert slow is not None
    assert passed is not None
    assert slow.times(passed) == 0.5
    assert (slow.rate, slow.cpu_client, slow.cpu_postgres) == (25, 1_000, 2_000)


def test_latencies_of_all_rounds_are_taken_together() -> None:
    rounds = [Latency("any", "steady", 20, [1.0, 2.0]), Latency("any", "steady", 20, [3.0, 9.0])]
    run = Throughput("any", 4, 1.0, Cpu(0, 0, 0))
    (row,) = make_report(Results([run], rounds, {}, {}, [])).rows

    assert row.latencies["steady"] == LatencyFigures(20, 4, 2.0, 9.0, 9.0, (2.0, 9.0))


def test_the_page_holds_the_report_between_its_marks(tmp_path: Path) -> None:
    report = _sample()
    report.dump(tmp_path / "report.json")
    page = put_in("before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n", load_report(tmp_path / "report.json"))

    assert page.startswith("before\n<!-- bench -->\n")
    assert page.endswith("<!-- /bench -->\nafter\n")
    assert "| worker, any | 50 | 40 – 60 |" in page
    assert "old" not in page
    assert put_in(page, report) == page


def test_the_documentation_has_a_place_for_the_report_and_its_picture() -> None:
    text = PAGE.read_text()
    assert text.index("<!-- bench -->\n") < text.index("images/bench.svg") < text.index("<!-- /bench -->\n")
    ET.fromstring(PICTURE.read_text())  # noqa: S314 - Our own file.


def test_the_picture_names_every_row() -> None:
    texts = {element.text for element in ET.fromstring(draw(_sample())).iter()}  # noqa: S314 - Our own.

    assert {PASSED, "worker, any", "100", "50"} <= texts


def test_a_base_that_was_not_measured_leaves_its_column_empty() -> None:
    heads, row = tables(_sample())[0].heads, tables(_sample())[0].rows[1]
    ratios = dict(zip(heads, row, strict=True))

    assert (ratios["÷ by hand"], ratios["÷ pass-through"]) == ("–", "0.50")


@pytest.mark.parametrize(
    ("state", "type_", "data", "then"),
    [
        ("approving", "evt.approval.request.success", {"approved": False}, "rejected"),
        ("charging", "evt.payment.charge.declined", {"reason": "no money"}, "failed"),
        ("approving", "sys.com.approval.request.error", {"errorMessage": "no"}, "failed"),
        ("reserving", "evt.payment.charge.success", {"charge_id": "c"}, "reserving"),
    ],
)
def test_by_hand_goes_the_ways_that_the_workload_does_not(
    state: str, type_: str, data: dict[str, object], then: str
) -> None:
    context: dict[str, object] = {"order_id": "1", "total": None, "charge_id": None, "reason": None, "visited": []}
    order = Order(state, context)
    request = order.advance({"type": type_, "data": data})

    assert order.state == then
    assert (request is None) == (state == then)


def test_cpu_time_is_that_of_descendants_too() -> None:
    spin = "import time\nwhile time.process_time() < 0.3: pass"
    spawn = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spin!r}]); print('spun', flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", spawn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as spawned:
        assert spawned.stdout is not None
        spawned.stdout.readline()
        spent = cpu_seconds(spawned.pid)
        spawned.communicate(b"\n")

    assert spent >= 0.25


def test_percentiles_are_nearest_ranks() -> None:
    millis = [float(number) for number in range(200, 0, -1)]

    assert percentile(millis, 50) == 100
    assert percentile(millis, 99) == 198
    assert percentile([7.0], 1) == 7


def test_a_restless_machine_is_told() -> None:
    report = _sample()
    calm = replace(report, rows=tuple(replace(row, rates=(100.0, 90.0, 95.0)) for row in report.rows))

    assert "The rounds of 1 of 2 rows differ" in next(summary(replace(report, rows=(report.rows[0], _torn()))))
    assert not any("differ" in line for line in summary(calm))


def _torn() -> RowFigures:
    return replace(_sample().rows[1], rates=(40.0, 50.0, 90.0))


def _sample() -> Report:
    latencies = {"steady": LatencyFigures(20, 4, 2.0, 9.0, 9.5, (2.0, 9.0))}
    passed = RowFigures(PASSED, (100.0,) * 3, (100.0,) * 3, 1, 0, 1, 20, None, latencies)
    worker = RowFigures("worker, any", (40.0, 50.0, 60.0), (50.0,) * 3, 1, 1, 1, None, None, latencies)
    return Report({"cores": "2"}, 400, 3, (passed, worker), {"1": 4}, ())
