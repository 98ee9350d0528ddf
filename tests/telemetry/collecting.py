"""A collector of spans for a test: what speaks OTLP over HTTP posts to it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, slots=True)
class Collected:
    """A span: ids in hex, `parent` empty if it has none; `service` is who made it."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent: str
    kind: int
    links: tuple[str, ...]
    attributes: dict[str, Any] = field(compare=False)


@dataclass(slots=True)
class Collector:
    """Keep what is posted to `address`."""

    address: str
    spans: list[Collected] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """Have a process export its spans to this collector, soon."""
        return {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.address,
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }

    def take(self, body: bytes) -> None:
        """Take a request."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            named = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [_collected(named["service.name"], span) for span in scope.spans]


def _collected(service: str, span: Any) -> Collected:
    links = tuple(link.span_id.hex() for link in span.links)
    attributes = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}
    ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
    return Collected(service, span.name, *ids, span.kind, links, attributes)


class _Server(ThreadingHTTPServer):
    daemon_threads = True


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Log nothing."""

    with _Server(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
