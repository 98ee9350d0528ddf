"""The page of all settings, made from their model."""

from collections.abc import Iterator
from typing import Any, Final, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, MinLen
from pydantic.fields import FieldInfo

from worker.settings import Settings

HEAD: Final = """\
# Settings

Every setting, from the environment, from a file (`WORKER_DATABASE_URL_FILE=/run/secrets/url` for any of them) or from
`.env`; the environment stands above `.env`. All faults are told at once, a misspelt name among them, and no fault shows
a value. `worker config` shows what each is set to, and where it comes from ([how](commands.md#settings)).

This page is made from the code: `make reference`.

| setting | default | takes | |
|---|---|---|---|
"""

TAIL: Final = """
`WORKER_KAFKA__<PROPERTY>` is [librdkafka's](https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md)
property of that name, with `_` for `.`: `WORKER_KAFKA__SECURITY_PROTOCOL=SASL_SSL` is `security.protocol=SASL_SSL`.
What exactly once rests on (`acks`, `isolation.level`, `partitioner` and the like) can't be set.

Variables of OpenTelemetry, `OTEL_*`, set where telemetry goes besides ([how](operating.md#metrics-elsewhere)).
"""


def settings_page() -> str:
    rows = (f"| {' | '.join(row(name, field))} |" for name, field in Settings.model_fields.items())
    return HEAD + "\n".join(rows) + "\n" + TAIL


def row(name: str, field: FieldInfo) -> tuple[str, ...]:
    variable = "WORKER_KAFKA__<PROPERTY>" if name == "kafka_properties" else f"WORKER_{name.upper()}"
    description = str(field.description).replace("<", "&lt;").replace(">", "&gt;")
    return f"`{variable}`", default_of(field), ", ".join(bounds_of(field)), description


def default_of(field: FieldInfo) -> str:
    value = field.default
    if field.is_required():
        return "must be set"
    if value is None or field.default_factory is not None:
        return ""
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def bounds_of(field: FieldInfo) -> Iterator[str]:
    """Tell what values there are, as far as the model says it in a few words."""
    if get_origin(field.annotation) is Literal:
        yield from (f"`{one}`" for one in get_args(field.annotation))
    elif field.annotation is bool:
        yield "`true`, `false`"
    for one in field.metadata:
        if text := _bound(one):
            yield text


def _bound(one: Any) -> str | None:
    match one:
        case Ge(ge=value):
            return f"from {value:,}"
        case Gt(gt=value):
            return f"above {value:,}"
        case Le(le=value):
            return f"to {value:,}"
        case MinLen():
            return "not empty"
        case _:
            return None
