"""The alert rules, read as far as the tests need them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import ruamel.yaml

from worker.adapters.telemetry.metrics import METRICS, Kind

FOLDER: Final = Path(__file__).parents[2] / "docs" / "monitoring"
RULES: Final = FOLDER / "alerts.yaml"
RULE_TESTS: Final = FOLDER / "alerts.test.yaml"

_METRIC: Final = re.compile(r"\b(?:orchestrator|messaging|db|process)_\w+(?=[\[{) ]|$)")


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule."""

    name: str
    severity: str
    expression: str
    annotations: dict[str, str]


def alerts() -> list[Alert]:
    """Give the rules in their order."""
    document = ruamel.yaml.YAML(typ="safe").load(RULES)
    return [
        Alert(rule["alert"], rule["labels"]["severity"], rule["expr"], rule["annotations"])
        for group in document["groups"]
        for rule in group["rules"]
    ]


def series_names() -> set[str]:
    """Name every series that /metrics may have."""
    suffixes = {Kind.HISTOGRAM: ("_bucket", "_sum", "_count")}
    return {f"{one.prometheus_name}{suffix}" for one in METRICS for suffix in suffixes.get(one.kind, ("",))}


def metrics_of(expression: str) -> set[str]:
    """Name the metrics that an expression asks for."""
    without_labels = re.sub(r"\b(?:by|without) \([^)]*\)", "", expression)
    return set(_METRIC.findall(re.sub(r"\{[^}]*\}", " ", without_labels)))
