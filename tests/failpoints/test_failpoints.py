"""A tenth of the table on real servers, another one in each run; `python -m tests.failpoints` runs all of it."""

import os
import random
from pathlib import Path

import pytest

from tests.failpoints.__main__ import a_tenth, line_of, run_all
from tests.failpoints.cells import cells
from tests.failpoints.running import Site
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import Databases

SEED_VARIABLE = "WORKER_TEST_SEED"
JOBS = 2


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_tenth_of_all_failures_does_no_harm(
    kafka_server: KafkaServer, databases: Databases, migrated_template: str, tmp_path: Path
) -> None:
    seed = int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().randrange(2**32))
    print(f"{SEED_VARIABLE}={seed}")
    site = Site(kafka_server, databases, migrated_template)
    verdicts = list(run_all(site, a_tenth(cells(), seed), tmp_path / "cells", JOBS))
    assert [line_of(verdict) for verdict in verdicts if not verdict.is_ok] == []
