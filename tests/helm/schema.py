"""The schema of the chart's values: its shape from values.yaml, its bounds from a table, `settings` from the worker."""

from collections.abc import Mapping
from typing import Any, Final

from tests.helm.documented import Value, documented_values
from worker.settings import _OWN_PROPERTIES, Settings

Schema = dict[str, Any]

SET_BY_THE_CHART: Final = frozenset(
    {
        "create_topics",
        "database_url",
        "group_id",
        "http_port",
        "kafka_bootstrap_servers",
        "kafka_properties",
        "machines",
        "topic_partitions",
        "topic_prefix",
    }
)
"""Settings that have values of their own."""

SECRET_PROPERTIES: Final = ("sasl.password", "ssl.key.password", "ssl.keystore.password")
REFUSED_PROPERTIES: Final = sorted({*_OWN_PROPERTIES, *SECRET_PROPERTIES, "security.protocol"})

# How worker/bootstrap bounds the end of a worker, and a little more.
TERMINATION_SECONDS_MIN: Final = 25
STRINGS: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}
NAME: Final[Schema] = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"}
PACKAGE: Final = "^[a-z_][a-z0-9_]*$"
COUNT: Final[Schema] = {"minimum": 1}
OBJECTS: Final[Schema] = {"items": {"type": "object"}}

REFINED: Final[Mapping[str, Schema]] = {
    "replicas": COUNT,
    "image.repository": {"minLength": 1},
    "image.digest": {"pattern": "^(sha256:[0-9a-f]{64})?$"},
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "image.pullSecrets": {"items": {"type": "object", "required": ["name"]}},
    "kafka.bootstrapServers": {"pattern": r"^[^\s,:]+:\d+(,[^\s,:]+:\d+)*$"},
    "kafka.topicPrefix": {"pattern": "^[a-zA-Z0-9._-]+$"},
    "kafka.groupId": {"minLength": 1},
    "kafka.partitions": {"minimum": 1, "maximum": 10_000},
    "kafka.securityProtocol": {"enum": ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]},
    "kafka.sasl.mechanism": {"enum": ["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]},
    "kafka.properties": {
        "propertyNames": {"pattern": r"^[a-z0-9]+(\.[a-z0-9]+)*$", "not": {"enum": REFUSED_PROPERTIES}},
        "additionalProperties": {"type": ["string", "number", "boolean"]},
    },
    "database.secretName": NAME,
    "database.urlKey": {"minLength": 1},
    "database.tls.mode": {"enum": ["require", "verify-ca", "verify-full"]},
    "machines.packages": {"items": {"type": "string", "pattern": r"^\w+(\.\w+)*$"}},
    "machines.configMaps": {
        "items": {
            "type": "object",
            "properties": {"package": {"type": "string", "pattern": PACKAGE}, "name": NAME},
            "required": ["package", "name"],
            "additionalProperties": False,
        }
    },
    "machines.files": {
        "propertyNames": {"pattern": PACKAGE},
        "additionalProperties": STRINGS | {"propertyNames": {"pattern": r"^[\w.-]+$"}, "minProperties": 1},
    },
    "extraEnv": {"items": {"type": "object", "required": ["name"]}},
    "migrations.timeoutSeconds": COUNT,
    "migrations.retries": {"minimum": 0},
    "rollout.podsAtOnce": COUNT,
    "rollout.minReadySeconds": {"minimum": 0},
    "rollout.progressDeadlineSeconds": COUNT,
    "rollout.terminationGracePeriodSeconds": {"minimum": TERMINATION_SECONDS_MIN},
    "autoscaling.kind": {"enum": ["none", "keda", "hpa"]},
    "autoscaling.minReplicas": {"minimum": 0},
    "autoscaling.maxReplicas": {"minimum": 0},
    "autoscaling.lagPerReplica": COUNT,
    "autoscaling.pollingSeconds": COUNT,
    "autoscaling.cpuPercent": COUNT,
    "autoscaling.metrics": OBJECTS,
    "autoscaling.scaleDownSeconds": {"minimum": 0, "maximum": 3_600},
    "podDisruptionBudget.maxUnavailable": {"type": ["integer", "string"], "minimum": 1, "pattern": r"^\d+%$"},
    "topologySpread": {"items": {"type": "object", "required": ["topologyKey", "maxSkew", "whenUnsatisfiable"]}},
    "nodeSelector": STRINGS,
    "tolerations": OBJECTS,
    "podAnnotations": STRINGS,
    "podLabels": STRINGS,
    "serviceAccount.annotations": STRINGS,
    "networkPolicy.metricsFrom": OBJECTS,
    "networkPolicy.kafka.ports": {"items": {"type": "integer"}},
    "networkPolicy.kafka.to": OBJECTS,
    "networkPolicy.database.ports": {"items": {"type": "integer"}, "minItems": 1},
    "networkPolicy.database.to": OBJECTS,
    "networkPolicy.extraEgress": OBJECTS,
    "monitoring.serviceMonitor.labels": STRINGS,
    "monitoring.serviceMonitor.interval": {"pattern": "^[0-9]+(ms|s|m)$"},
    "monitoring.alerts.kind": {"enum": ["none", "configMap", "prometheusRule"]},
    "monitoring.alerts.labels": STRINGS,
    "monitoring.dashboard.labels": STRINGS,
    "test.type": {"minLength": 1},
    "test.timeoutSeconds": COUNT,
}

TOGETHER: Final[Mapping[str, Schema]] = {
    # Who names a mechanism names the user and where the password is.
    "kafka.sasl": {
        "if": {"properties": {"mechanism": {"not": {"const": ""}}}},
        "then": {"properties": {"username": {"minLength": 1}, "secretName": {"minLength": 1}}},
    },
}


def values_schema() -> Schema:
    """Give the schema of values.yaml."""
    schema: Schema = {"$schema": "http://json-schema.org/draft-07/schema#", **_section()}
    for value in documented_values():
        _place(schema, value)
    for name, more in TOGETHER.items():
        _found(schema, tuple(name.split("."))).update(more)
    # Helm gives it to every chart.
    schema["properties"]["global"] = {"type": "object"}
    return schema


def _section() -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": {}}


def _place(schema: Schema, value: Value) -> None:
    parent = _found(schema, value.path[:-1])
    leaf = {"description": value.text, "type": _type(value.default), **REFINED.get(value.name, {})}
    parent["properties"][value.path[-1]] = leaf | (_settings() if value.name == "settings" else {})


def _found(schema: Schema, path: tuple[str, ...]) -> Schema:
    for name in path:
        schema = schema["properties"].setdefault(name, _section())
    return schema


def _type(default: Any) -> str:
    names = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
    return names[type(default)]


def _settings() -> Schema:
    """Give the worker's own bounds of its settings."""
    own = Settings.model_json_schema()["properties"]
    properties = {
        name: {key: rule for key, rule in rules.items() if key not in {"default", "title"}}
        for name, rules in sorted(own.items())
        if name not in SET_BY_THE_CHART
    }
    return {"additionalProperties": False, "properties": properties}
