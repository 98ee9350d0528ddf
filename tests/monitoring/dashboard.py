"""The dashboard for Grafana, from a table of panels. `python -m tests.monitoring.dashboard` writes it anew."""

import json
from dataclasses import dataclass
from typing import Any, Final

from tests.monitoring.rules import FOLDER

DASHBOARD: Final = FOLDER / "dashboard.json"
COLUMNS: Final = 3
WIDTH: Final = 24 // COLUMNS
HEIGHT: Final = 8
PARTITION: Final = "messaging_destination_partition_id"


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: its queries with their legends."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]


def rate(name: str, by: str) -> str:
    return f"sum by ({by}) (rate({name}[$__rate_interval]))"


def quantile(share: float, name: str, by: str = "le") -> str:
    return f"histogram_quantile({share:g}, sum by ({by}) (rate({name}_bucket[$__rate_interval])))"


ROWS: Final = {
    "Is it well?": (
        Panel("Events by outcome", "ops", ((rate("orchestrator_events_total", "outcome"), "{{outcome}}"),)),
        Panel(
            "End-to-end age",
            "s",
            tuple((quantile(share, "orchestrator_event_age_seconds"), f"p{share * 100:g}") for share in (0.5, 0.99)),
        ),
        Panel(
            "Dead letters in the last hour",
            "short",
            (("sum by (reason) (increase(orchestrator_dead_letters_total[1h]))", "{{reason}}"),),
        ),
        Panel("Lag", "short", ((f"sum by ({PARTITION}) (orchestrator_partition_lag)", f"{{{{{PARTITION}}}}}"),)),
        Panel(
            "Age of lag",
            "s",
            ((f"max by ({PARTITION}) (orchestrator_partition_lag_age_seconds)", f"{{{{{PARTITION}}}}}"),),
        ),
        Panel("Partitions by state", "short", (("sum by (state) (orchestrator_partitions)", "{{state}}"),)),
        Panel("Parts that are ready", "short", (("sum by (part) (orchestrator_ready)", "{{part}}"),)),
        Panel(
            "End-to-end age of the last publication",
            "s",
            ((f"max by ({PARTITION}) (orchestrator_partition_age_seconds)", f"{{{{{PARTITION}}}}}"),),
        ),
        Panel("Ignored", "ops", ((rate("orchestrator_ignored_total", "reason"), "{{reason}}"),)),
    ),
    "Workflows": (
        Panel("Instances", "short", (("max by (machine, status) (orchestrator_instances)", "{{machine}} {{status}}"),)),
        Panel(
            "Active instances by state",
            "short",
            (("max by (machine, version, state) (orchestrator_state_instances)", "{{machine}} {{version}} {{state}}"),),
        ),
        Panel(
            "Longest wait by state",
            "s",
            (
                (
                    "max by (machine, version, state) (orchestrator_state_wait_seconds)",
                    "{{machine}} {{version}} {{state}}",
                ),
            ),
        ),
        Panel(
            "Transitions by state that is entered",
            "ops",
            ((rate("orchestrator_state_entries_total", "machine, state"), "{{machine}} {{state}}"),),
        ),
        Panel(
            "Share of the instances that is counted", "percentunit", (("min(orchestrator_instances_sampled)", "share"),)
        ),
    ),
    "Where the time goes": (
        Panel("Loop by stage", "percentunit", ((rate("orchestrator_stage_time_seconds_total", "stage"), "{{stage}}"),)),
        Panel(
            "PostgreSQL, p99",
            "s",
            (
                (
                    quantile(0.99, "db_client_operation_duration_seconds", "le, db_operation_name"),
                    "{{db_operation_name}}",
                ),
            ),
        ),
        Panel(
            "Kafka, p99",
            "s",
            (
                (
                    quantile(0.99, "messaging_client_operation_duration_seconds", "le, messaging_operation_name"),
                    "{{messaging_operation_name}}",
                ),
            ),
        ),
        Panel("Batch, p99", "s", ((quantile(0.99, "messaging_process_duration_seconds"), "p99"),)),
        Panel("Records in a batch, p50", "short", ((quantile(0.5, "orchestrator_batch_records"), "p50"),)),
        Panel(
            "Records in and out",
            "ops",
            (
                (rate("messaging_client_consumed_messages_total", "messaging_destination_name"), "in"),
                (
                    rate("messaging_client_sent_messages_total", "messaging_destination_name"),
                    "{{messaging_destination_name}}",
                ),
            ),
        ),
    ),
    "Trouble": (
        Panel("Retries", "ops", ((f"{rate('orchestrator_retries_total', 'what')} or vector(0)", "{{what}}"),)),
        Panel("Publications", "ops", ((rate("orchestrator_publications_total", "what"), "{{what}}"),)),
        Panel("Producers", "ops", ((rate("orchestrator_producers_total", "what"), "{{what}}"),)),
        Panel("Rebalances", "ops", ((rate("orchestrator_rebalances_total", "what"), "{{what}}"),)),
        Panel(
            "Probes that fail",
            "ops",
            ((f"{rate('orchestrator_probe_failures_total', 'what')} or vector(0)", "{{what}}"),),
        ),
        Panel("Since the loop turned", "s", (("max by (instance) (orchestrator_loop_idle_seconds)", "{{instance}}"),)),
    ),
    "Upkeep": (
        Panel("Since it was done", "s", (("min(orchestrator_upkeep_age_seconds)", "by any worker"),)),
        Panel(
            "Changes in the last hour",
            "short",
            (("sum by (what) (increase(orchestrator_upkeep_changes_total[1h]))", "{{what}}"),),
        ),
        Panel(
            "Time that it takes",
            "percentunit",
            ((rate("orchestrator_upkeep_duration_seconds_sum", "error_type"), "{{error_type}}"),),
        ),
    ),
    "Processes": (
        Panel("CPU", "percentunit", ((rate("process_cpu_time_seconds_total", "instance"), "{{instance}}"),)),
        Panel("Memory", "bytes", (("max by (instance) (process_memory_usage_bytes)", "{{instance}}"),)),
        Panel("Uptime", "s", (("max by (instance) (process_uptime_seconds)", "{{instance}}"),)),
        Panel(
            "Connections to PostgreSQL",
            "short",
            (("sum by (db_client_connection_state) (db_client_connection_count)", "{{db_client_connection_state}}"),),
        ),
        Panel("Open files", "short", (("max by (instance) (process_open_file_descriptor_count)", "{{instance}}"),)),
        Panel("Threads", "short", (("max by (instance) (process_thread_count)", "{{instance}}"),)),
    ),
}


def queries() -> list[str]:
    """Give every query."""
    return [query for row in ROWS.values() for panel in row for query, _ in panel.queries]


def document() -> str:
    """Give the dashboard as Grafana takes it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        panels.append(_placed({"type": "row", "title": title, "collapsed": False}, len(panels), (0, top, 24, 1)))
        top += 1
        for number, panel in enumerate(row):
            place = number % COLUMNS * WIDTH, top + number // COLUMNS * HEIGHT, WIDTH, HEIGHT
            panels.append(_placed(_chart(panel), len(panels), place))
        top += -(-len(row) // COLUMNS) * HEIGHT
    dashboard = {
        "uid": "orchestrator-worker",
        "title": "Orchestrator workers",
        "tags": ["orchestrator"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}]},
        "panels": panels,
    }
    return json.dumps(dashboard, indent=1) + "\n"


def _chart(panel: Panel) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "type": "timeseries",
        "title": panel.title,
        "datasource": source,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": source, "expr": query, "legendFormat": legend}
            for number, (query, legend) in enumerate(panel.queries)
        ],
    }


def _placed(panel: dict[str, Any], number: int, place: tuple[int, int, int, int]) -> dict[str, Any]:
    x, y, width, height = place
    return {"id": number + 1, **panel, "gridPos": {"x": x, "y": y, "w": width, "h": height}}


if __name__ == "__main__":
    DASHBOARD.write_text(document())
