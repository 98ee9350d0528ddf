"""The bench runs and prints its rows; what they say of time is nobody's business here."""

import subprocess
import sys

import pytest

from tests.bench.cpu import cpu_seconds
from tests.bench.measures import Latency
from tests.bench.site import ROOT

ORDERS = 300


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_every_row_is_printed(kafka_jars: None) -> None:
    command = [sys.executable, "-m", "tests.bench", "--orders", str(ORDERS), "--latency-seconds", "1"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=220)

    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.strip("│ ").split("│")[0].strip() for line in done.stdout.splitlines() if line.startswith("│")]
    ceilings = ["pass-through", "SQL alone"]
    in_turn = "worker, its transactions in turn"
    assert rows[:7] == [*ceilings, "worker", in_turn, *reversed(ceilings), "library, in memory"]
    assert rows[7:14] == ["poll", "decode", "PostgreSQL", "step", "encode", "Kafka", "the rest"]
    assert rows[-2:] == ["pass-through", "worker"]
    assert "4 for 1 event, 4 for 500 events" in done.stdout
    assert "The worker:" in done.stdout
    assert "The library's call in memory:" in " ".join(done.stdout.split())


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
    latency = Latency("any", [float(number) for number in range(200, 0, -1)])

    assert latency.percentile(50) == 100
    assert latency.percentile(99) == 198
    assert Latency("one", [7.0]).percentile(1) == 7
