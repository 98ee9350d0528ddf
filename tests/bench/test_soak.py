"""The soak measures a worker's memory; how much that is is nobody's business here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.children import ROOT
from tests.bench.soak import WAVES, Sample, summary, table


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_memory_is_looked_at_after_every_wave(kafka_jars: None, tmp_path: Path) -> None:
    kept = tmp_path / "soak.json"
    command = [sys.executable, "-m", "tests.bench.soak", "--events", "1600", "--json", str(kept)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=220)

    assert done.returncode == 0, done.stdout + done.stderr
    samples = json.loads(kept.read_text())
    assert [sample["events"] for sample in samples] == [80 * number for number in range(1, WAVES + 1)]
    assert all(sample["megabytes"] > 1 for sample in samples)


def test_growth_is_that_of_the_second_half() -> None:
    samples = [Sample(number, megabytes, 1.0) for number, megabytes in enumerate((50, 90, 100, 104), 1)]

    assert summary(samples) == "Most: 104.0 MB. From 3 to 4 events: +4.0 MB."
    assert table(samples).rows[0] == ["1", "50.0", "1"]
