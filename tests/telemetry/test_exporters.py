"""Exporters beside /metrics, by OpenTelemetry's own variables."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from worker.adapters.telemetry import metrics
from worker.adapters.telemetry.instruments import Meters, _exporting
from worker.core.errors import SetupError


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Stand in for a collector: keep what is posted."""
    posted: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", posted
        server.shutdown()
        thread.join()


def test_otlp_hands_over_what_was_recorded(
    collector: tuple[str, list[tuple[str, bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, posted = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    meters = Meters({"service.name": "seen"}, {"OTEL_METRICS_EXPORTER": "otlp"})
    meters.instruments.add(metrics.EVENTS, 3, "advanced")
    assert b"orchestrator_events_total" in meters.text("")[1]
    meters.close(5)
    assert [path for path, _ in posted] == ["/v1/metrics"]
    assert b"orchestrator.events" in posted[0][1]
    assert b"seen" in posted[0][1]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_METRICS_EXPORTER": "none"},
        {"OTEL_METRICS_EXPORTER": "prometheus"},
        {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "TRUE"},
    ],
)
def test_there_is_always_the_scrape_and_else_what_is_named(environment: dict[str, str]) -> None:
    assert _exporting(environment) == []
    meters = Meters({}, environment)
    meters.instruments.add(metrics.EVENTS, 3, "advanced")
    assert b"orchestrator_events_total" in meters.text("")[1]
    meters.close(1)


def test_an_exporter_that_is_not_there_is_told_with_a_remedy() -> None:
    with pytest.raises(SetupError, match=r"OTEL_METRICS_EXPORTER=otlp: no package has the exporter otlp_proto_grpc"):
        Meters({}, {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
