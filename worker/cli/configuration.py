"""`worker config`: every setting, its value and its origin. Secrets are masked."""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import SecretStr

from worker.core.errors import SetupError
from worker.settings import KAFKA_PROPERTY_PREFIX, PREFIX, Loaded, Settings, load_settings
from worker.terminal.addresses import MASK, masked_url
from worker.terminal.faults import SETUP_FAULT, fail
from worker.terminal.texts import table

_SECRET_PROPERTY: Final = re.compile(
    r"password|passphrase|secret|credential|private\.key|key\.pem|jaas|oauthbearer\.config"
)

Row = dict[str, str]
"""setting, value, origin, description."""


def show_settings(names: Sequence[str] = (), *, changed: bool = False, as_json: bool = False) -> None:
    """Print the settings, or those whose names have one of these in them, or were set; end with 2 if some are wrong."""
    try:
        rows, fault = list(_rows(load_settings())), None
    except SetupError as error:
        # Which values were meant is not known then; what there is to set is.
        rows, fault = list(_defaults()), error
    rows = [row for row in rows if _is_wanted(row, names, changed=changed)]
    if as_json:
        _print_json(rows, fault)
    else:
        shown = [(row["setting"], row["value"], row["origin"], row["description"]) for row in rows]
        sys.stdout.write(table([("SETTING", "VALUE", "ORIGIN", "WHAT IT IS"), *shown]) + "\n" if shown else "")
    if fault is not None:
        fail(str(fault), SETUP_FAULT)


def _is_wanted(row: Row, names: Sequence[str], *, changed: bool) -> bool:
    named = not names or any(name.upper() in row["setting"] for name in names)
    return named and not (changed and row["origin"] in ("default", "required"))


def _print_json(rows: list[Row], fault: SetupError | None) -> None:
    faults = [] if fault is None else [line.strip() for line in str(fault).splitlines()[1:]]
    document = {"settings": rows, "faults": faults}
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _rows(loaded: Loaded) -> Iterator[Row]:
    for name, field in Settings.model_fields.items():
        value, origin = getattr(loaded.settings, name), loaded.origins[name]
        if name == "kafka_properties":
            yield from _property_rows(value, loaded.origins)
            continue
        yield _row(PREFIX + name.upper(), _shown(name, value), origin, field.description)


def _property_rows(properties: Mapping[str, str], origins: Mapping[str, str]) -> Iterator[Row]:
    yield _property_row("<PROPERTY>", "", "default")
    for name, value in sorted(properties.items()):
        shown = MASK if _SECRET_PROPERTY.search(name) else value
        yield _property_row(name.upper().replace(".", "_"), shown, origins[f"kafka_properties.{name}"])


def _property_row(name: str, value: str, origin: str) -> Row:
    description = (
        Settings.model_fields["kafka_properties"].description if name == "<PROPERTY>" else "librdkafka property"
    )
    return _row(KAFKA_PROPERTY_PREFIX + name, value, origin, description)


def _defaults() -> Iterator[Row]:
    for name, field in Settings.model_fields.items():
        if name == "kafka_properties":
            yield from _property_rows({}, {})
            continue
        value = "" if field.is_required() else _shown(name, field.default)
        origin = "required" if field.is_required() else "default"
        yield _row(PREFIX + name.upper(), value, origin, field.description)


def _row(setting: str, value: str, origin: str, description: str | None) -> Row:
    return {"setting": setting, "value": value, "origin": origin, "description": description or ""}


def _shown(name: str, value: Any) -> str:
    if isinstance(value, SecretStr):
        return masked_url(value.get_secret_value()) if name == "database_url" else MASK
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value is None else str(value)
