"""Exporters that OpenTelemetry's own variables name, of metrics and of spans, and the resource that all is told of."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Final

from opentelemetry.sdk.resources import Resource

from worker.core.errors import SetupError

DISABLED: Final = "OTEL_SDK_DISABLED"
_NAME: Final = "service.name"
_OTLP: Final = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}


@dataclass(frozen=True, slots=True)
class Signal:
    """What is exported: the variable that names the exporters, those that need none made, and where packages list them.

    Of `protocols`, the first variable that is set says how OTLP is spoken.
    """

    variable: str
    needless: frozenset[str]
    group: str
    protocols: tuple[str, ...]


METRICS: Final = Signal(
    "OTEL_METRICS_EXPORTER",
    frozenset(("", "none", "prometheus")),
    "opentelemetry_metrics_exporter",
    ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"),
)
TRACES: Final = Signal(
    "OTEL_TRACES_EXPORTER",
    frozenset(("", "none")),
    "opentelemetry_traces_exporter",
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"),
)


def exporters_of(signal: Signal, environment: Mapping[str, str]) -> list[Any]:
    """Make the exporters that the environment names. Raises: SetupError."""
    if environment.get(DISABLED, "").strip().lower() == "true":
        return []
    named = [name.strip() for name in environment.get(signal.variable, "").split(",")]
    return [_exporter(signal, name, environment) for name in named if name not in signal.needless]


def resource_of(told: Mapping[str, str], environment: Mapping[str, str]) -> Resource:
    """Say what all is told of. The name is OTEL_SERVICE_NAME's, if that is set."""
    named = environment.get("OTEL_SERVICE_NAME")
    return Resource.create({**told, _NAME: named} if named else dict(told))


def _exporter(signal: Signal, name: str, environment: Mapping[str, str]) -> Any:
    protocol = next((environment[one] for one in signal.protocols if environment.get(one)), "http/protobuf")
    entry = _OTLP.get(protocol, protocol) if name == "otlp" else name
    found = entry_points(group=signal.group, name=entry)
    if not found:
        raise SetupError(
            f"{signal.variable}={name}: no package has the exporter {entry}. Install orchestrator-worker[otlp], which "
            "has otlp over http/protobuf, or the package of another exporter; or leave it out"
        )
    try:
        return next(iter(found)).load()()
    except Exception as error:
        # Whatever somebody's exporter raises: the start stops with one text.
        raise SetupError(
            f"{signal.variable}={name}: the exporter can't be made: {type(error).__name__}: {error}"
        ) from error
