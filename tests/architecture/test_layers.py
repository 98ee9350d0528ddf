"""The import contracts of pyproject.toml, which `make check` proves, break when they should."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


def lint(folder: Path) -> str:
    done = subprocess.run([str(LINT_IMPORTS), "--no-cache"], cwd=folder, check=False, capture_output=True, text=True)
    return " ".join(done.stdout.split())


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    shutil.copytree(ROOT / "worker", tmp_path / "worker", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.parametrize(
    ("module", "statement", "contract"),
    [
        ("core/planted.py", "import worker.ports", "A layer imports only the layers below it"),
        ("runtime/planted.py", "import worker.adapters.kafka", "A layer imports only the layers below it"),
        ("orchestrator/planted.py", "import worker.runtime", "A layer imports only the layers below it"),
        ("adapters/kafka/planted.py", "import worker.settings", "A layer imports only the layers below it"),
        ("machine_loader.py", "import worker.ports", "The machine loader knows the core alone"),
        ("adapters/kafka/planted.py", "import worker.adapters.postgres", "The adapters do not know each other"),
        ("core/planted.py", "import sismic.model", "Only the engine knows sismic"),
        ("runtime/planted.py", "import confluent_kafka", "Only the adapters know Kafka's and PostgreSQL's drivers"),
        ("demo/planted.py", "import psycopg", "Only the adapters know Kafka's and PostgreSQL's drivers"),
        ("tracing/planted.py", "import worker.orchestrator", "A layer imports only the layers below it"),
        (
            "orchestrator/planted.py",
            "from opentelemetry import trace",
            "Only the tracing and the telemetry know OpenTelemetry",
        ),
        ("core/planted.py", "from random import random", "The core has no I/O, clock, randomness, logging"),
        ("core/engine/planted.py", "import time", "The core has no I/O, clock, randomness, logging"),
    ],
)
def test_a_contract_breaks(copy: Path, module: str, statement: str, contract: str) -> None:
    with (copy / "worker" / module).open("a") as file:
        file.write(f"\n{statement}\n")
    said = lint(copy)
    assert contract in said
    assert f"{contract} KEPT" not in said
    assert "1 broken." in said


def test_a_module_without_a_layer_is_refused(copy: Path) -> None:
    (copy / "worker" / "planted.py").touch()
    assert "planted" in lint(copy)
