"""The drill of docs/backup.md: its commands save the database of a worker at work, lose it, and bring it back."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.acceptance.checks import expected_outputs, instance_faults, instances
from tests.acceptance.deployment import ROOT, Deployment, wait_until
from tests.docs.pages import Page
from tests.servers.postgres import database_name
from tests.workload import STATES, Order, records
from worker.adapters.embedded.postgres import wheel_binaries

PAGE = Page("docs/backup.md")
SAVED, ORDERS = 50, 150
EVENTS = ORDERS * len(STATES)
COMMAND_SECONDS = 120


def run(block: str, variables: Mapping[str, str]) -> str:
    path = os.pathsep.join((str(Path(sys.executable).parent), str(wheel_binaries()), os.environ["PATH"]))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PATH": path, **variables},
        timeout=COMMAND_SECONDS,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_a_lost_database_is_brought_back(deployment: Deployment, tmp_path: Path) -> None:
    save, restore, look, after = PAGE.blocks("sh")
    variables = {
        **deployment.environment(),
        "BACKUP": str(tmp_path / "worker.dump"),
        "DATABASE": database_name(deployment.database_url),
        "SERVER": urlsplit(deployment.database_url)._replace(path="/postgres").geturl(),
    }
    worker = deployment.start_worker()
    deployment.produce(records(SAVED))
    deployment.wait_until_journalled(SAVED)
    run(save, variables)
    # The work goes on, past what the backup knows.
    deployment.produce(Order(number).record(step) for step in range(len(STATES)) for number in range(SAVED, ORDERS))
    deployment.wait_until_applied()
    wait_until(lambda: len(deployment.outputs()) == EVENTS, 60, "all is published")
    before = instances(deployment)
    assert list(instance_faults(range(ORDERS), before)) == []
    seen = Counter(outputs(deployment))
    worker.kill()

    run(restore, variables)
    assert "run-again" in run(look, variables)
    heir = deployment.start_worker()
    deployment.finish()
    told = heir.told("database_behind")
    assert all(line["database"] < line["kafka"] for line in told)
    standing = run(after, variables)
    assert "run-again" not in standing
    assert standing.count("go-on") == deployment.partitions

    assert sorted(instances(deployment), key=str) == sorted(before, key=str)
    came = Counter(outputs(deployment))
    assert len(seen) == len(expected_outputs(range(ORDERS)))
    assert came.keys() == seen.keys()
    # What the backup did not know was run again: those outputs came twice, the same in all.
    again = sum(line["kafka"] - line["database"] for line in told)
    assert again > 0
    assert came.total() - seen.total() == again
    print(f"of {EVENTS} records, {again} were run again")


def outputs(deployment: Deployment) -> list[tuple[str, int, bytes | None, bytes | None]]:
    return [
        (record.topic() or "", record.partition() or 0, record.key(), record.value()) for record in deployment.outputs()
    ]
