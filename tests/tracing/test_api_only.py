"""The tracing needs OpenTelemetry's API alone: the SDK is the application's."""

import ast
import subprocess
import sys
from pathlib import Path

import worker.tracing

ROOT = Path(__file__).parents[2]
MODULES = sorted(Path(worker.tracing.__file__).parent.glob("*.py"))


def imported(source: str) -> list[str]:
    nodes = list(ast.walk(ast.parse(source)))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return plain + [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]


def test_no_module_imports_the_sdk() -> None:
    names = [name for module in MODULES for name in imported(module.read_text(encoding="utf-8"))]
    assert [name for name in names if name.startswith("opentelemetry")]
    assert not [name for name in names if name.startswith("opentelemetry.sdk")]
    assert imported("import opentelemetry.sdk\nfrom opentelemetry.sdk.trace import Span") == [
        "opentelemetry.sdk",
        "opentelemetry.sdk.trace",
    ]


def test_the_library_loads_without_the_sdk() -> None:
    program = "import sys, worker.orchestrator; print('opentelemetry.trace' in sys.modules, *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("True")
    assert "opentelemetry.sdk" not in done.stdout


APPLICATION = """
from tests.orchestrator.desk import counting, start
from worker import SimpleMachineMemory

orchestrator = counting(SimpleMachineMemory())

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
(event,) = orchestrator.execute(start()).events
(main,) = (span for span in exporter.get_finished_spans() if span.parent is None)
print(event.traceparent.split("-")[2] == format(main.context.span_id, "016x"), main.instrumentation_scope.name)
"""


def test_the_sdk_that_an_application_sets_records() -> None:
    done = subprocess.run([sys.executable, "-c", APPLICATION], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["True", "orchestrator-worker"]
