"""Prometheus, as a test has it."""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import deployment
from tests.acceptance.deployment import wait_until
from tests.monitoring.rules import RULES
from worker.adapters.embedded.server import free_port

__all__ = ["deployment"]

START_SECONDS = 30.0
STOP_SECONDS = 10.0
CONFIGURATION = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: orchestrator
    static_configs: [{{targets: [{targets}]}}]
"""


@pytest.fixture(scope="session")
def promtool() -> str:
    """Name the program that checks rules."""
    found = shutil.which("promtool")
    assert found is not None
    return found


@dataclass
class Prometheus:
    """A server that scrapes workers."""

    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def scrape(self, *ports: int) -> None:
        """Begin to scrape these."""
        self.port = free_port()
        targets = ", ".join(f"'127.0.0.1:{port}'" for port in ports)
        configuration = self.folder / "prometheus.yml"
        configuration.write_text(CONFIGURATION.format(rules=RULES, targets=targets))
        log = (self.folder / "prometheus.log").open("wb")
        with log:
            self.process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={configuration}",
                    f"--storage.tsdb.path={self.folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdout=log,
                stderr=log,
            )
        wait_until(self._is_ready, START_SECONDS, "Prometheus is ready")

    def api(self, path: str, **query: str) -> dict[str, Any]:
        """Ask the HTTP API, and give the answer's data."""
        address = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(address, timeout=START_SECONDS) as answer:
            document = json.loads(answer.read())
        assert document["status"] == "success", document
        return dict(document["data"])

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Give what an expression comes to now."""
        return list(self.api("query", query=expression)["result"])

    def close(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(STOP_SECONDS)

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "prometheus.log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=1):
                return True
        except OSError:
            return False


@pytest.fixture
def prometheus(promtool: str, tmp_path: Path) -> Iterator[Prometheus]:
    """Have a Prometheus, which begins with its first `scrape`."""
    folder = tmp_path / "prometheus"
    folder.mkdir()
    server = Prometheus(folder)
    yield server
    server.close()
