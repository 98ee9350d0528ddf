"""A run without Java leaves tests out and says so in its last lines; on CI it leaves nothing out."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = "tests/integration/test_kafka_server.py"
BENCH = "tests/bench/test_bench.py"


def collect(tmp_path: Path, tests: str = TESTS, **variables: str) -> str:
    return run_pytest(tmp_path, "--collect-only", "-q", tests, **variables)


def run_pytest(tmp_path: Path, *arguments: str, **variables: str) -> str:
    environment = {
        "HOME": str(tmp_path),
        "PATH": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
        **variables,
    }
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode in {0, 5}, done.stdout + done.stderr
    return done.stdout


def test_missing_servers_are_told(tmp_path: Path) -> None:
    said = collect(tmp_path)
    assert "::" not in said
    assert "3 tests were left out. Not shown: exactly once" in said
    assert "3 tests were left out. Not shown: what holds while Apache Kafka itself is killed" in said
    assert "apt-get install default-jre-headless maven" in said
    assert "set WORKER_TEST_KAFKA_BOOTSTRAP_SERVERS=" in said


def test_missing_servers_are_told_once_by_several_processes(tmp_path: Path) -> None:
    said = run_pytest(tmp_path, "-n", "2", TESTS)
    assert said.count("3 tests were left out. Not shown: exactly once") == 1
    assert said.count("3 tests were left out. Not shown: what holds while Apache Kafka itself is killed") == 1


def test_what_starts_a_kafka_of_its_own_is_left_out_too(tmp_path: Path) -> None:
    said = collect(tmp_path, BENCH)
    assert "test_every_row_is_printed" not in said
    assert "1 tests were left out" in said


def test_a_given_cluster_is_taken(tmp_path: Path) -> None:
    said = collect(tmp_path, WORKER_TEST_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9092")
    assert said.count("::") == 3
    assert "Not shown: exactly once" not in said


def test_ci_leaves_nothing_out(tmp_path: Path) -> None:
    said = collect(tmp_path, CI="true")
    assert said.count("::") == 6
    assert "left out" not in said
