"""Schemas of the kinds that are not Kubernetes' own, with what the chart uses of them; their operators know more."""

from typing import Any, Final

Schema = dict[str, Any]


def _closed(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _list_of(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1}


TEXT: Final[Schema] = {"type": "string", "minLength": 1}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
TEXTS: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}
DURATION: Final[Schema] = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d|w|y))+$"}

_SCALING_RULES: Final = _closed(
    [],
    stabilizationWindowSeconds={"type": "integer", "minimum": 0, "maximum": 3_600},
    policies=_list_of(_closed(["type", "value", "periodSeconds"], type=TEXT, value=COUNT, periodSeconds=COUNT)),
)
_SCALED_OBJECT: Final = _closed(
    ["scaleTargetRef", "triggers"],
    scaleTargetRef=_closed(["name"], name=TEXT),
    minReplicaCount=COUNT,
    maxReplicaCount=COUNT,
    pollingInterval=COUNT,
    cooldownPeriod=COUNT,
    advanced=_closed([], horizontalPodAutoscalerConfig=_closed([], behavior=_closed([], scaleDown=_SCALING_RULES))),
    triggers=_list_of(
        _closed(
            ["type", "metadata"],
            type={"const": "kafka"},
            # KEDA takes texts alone, and of these names.
            metadata=_closed(
                ["bootstrapServers", "consumerGroup", "topic"],
                bootstrapServers=TEXT,
                consumerGroup=TEXT,
                topic=TEXT,
                lagThreshold={"type": "string", "pattern": "^[1-9][0-9]*$"},
                offsetResetPolicy={"enum": ["earliest", "latest"]},
                allowIdleConsumers={"enum": ["true", "false"]},
                tls={"enum": ["enable", "disable"]},
                sasl={"enum": ["none", "plaintext", "scram_sha256", "scram_sha512"]},
            ),
            authenticationRef=_closed(["name"], name=TEXT),
        )
    ),
)
_TRIGGER_AUTHENTICATION: Final = _closed(
    [],
    secretTargetRef=_list_of(_closed(["parameter", "name", "key"], parameter=TEXT, name=TEXT, key=TEXT)),
    env=_list_of(_closed(["parameter", "name"], parameter=TEXT, name=TEXT, containerName=TEXT)),
)
_SERVICE_MONITOR: Final = _closed(
    ["selector", "endpoints"],
    selector=_closed(["matchLabels"], matchLabels=TEXTS),
    endpoints=_list_of(_closed(["port"], port=TEXT, path=TEXT, interval=DURATION)),
)
_PROMETHEUS_RULE: Final = _closed(
    ["groups"],
    groups=_list_of(
        _closed(
            ["name", "rules"],
            name=TEXT,
            rules=_list_of(
                _closed(["alert", "expr"], alert=TEXT, expr=TEXT, labels=TEXTS, annotations=TEXTS, **{"for": DURATION})
            ),
        )
    ),
)


def _resource(version: str, spec: Schema) -> Schema:
    metadata = _closed(["name", "labels"], name=TEXT, labels=TEXTS)
    return _closed(
        ["apiVersion", "kind", "metadata", "spec"],
        apiVersion={"const": version},
        kind=TEXT,
        metadata=metadata,
        spec=spec,
    )


SCHEMAS: Final = {
    "ScaledObject": _resource("keda.sh/v1alpha1", _SCALED_OBJECT),
    "TriggerAuthentication": _resource("keda.sh/v1alpha1", _TRIGGER_AUTHENTICATION),
    "ServiceMonitor": _resource("monitoring.coreos.com/v1", _SERVICE_MONITOR),
    "PrometheusRule": _resource("monitoring.coreos.com/v1", _PROMETHEUS_RULE),
}
