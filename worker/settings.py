"""Settings: `WORKER_*` from the environment, from files named by `WORKER_*_FILE`, and from `.env`, in that order.

All faults are reported at once, and a name that is no setting is a fault too: a misspelt setting must not be
silently left at its default.
"""

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import Field, PositiveInt, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from worker.core.errors import SetupError

PREFIX = "WORKER_"
KAFKA_PROPERTY_PREFIX = "WORKER_KAFKA__"
_NOT_OURS = re.compile(r"WORKER_(TEST_\w+|SERVICE_\w+|PORT(_\w+)?)")
"""Test settings, and what Kubernetes puts into the environment for a Service named `worker`."""

Names = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """Every setting, with its default. The description is what `worker config` shows."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", validate_default=True)

    kafka_bootstrap_servers: str = Field(min_length=1, description="Kafka brokers, host:port, separated by commas")
    database_url: SecretStr = Field(description="PostgreSQL address, postgresql://user:password@host:port/database")
    group_id: str = Field("orchestrator", min_length=1, description="consumer group")
    topic_prefix: str = Field(
        "orchestrator", pattern=r"^[a-zA-Z0-9._-]+$", description="topics are PREFIX.input, PREFIX.<domain>, PREFIX.dlq"
    )
    machines: Names = Field(("machines",), description="packages with machines, separated by commas")
    engine: Literal["sismic"] = Field("sismic", description="execution engine")
    delivery: Literal["exactly_once"] = Field("exactly_once", description="delivery mode")
    kafka_content_mode: Literal["structured", "binary"] = Field("structured", description="CloudEvents mode of outputs")
    executionunits: float | None = Field(
        None, ge=0, description="executionunits of emitted events, if a machine sets none"
    )
    error_stacks: bool = Field(False, description="put stack traces, which tell paths, into system error events")
    create_topics: bool = Field(False, description="create missing topics at start")
    topic_partitions: PositiveInt = Field(10, description="partitions of topics that are created")
    batch_records_max: int = Field(500, ge=1, le=10_000, description="records in one transaction, at most")
    batch_bytes_max: int = Field(8 * 1024 * 1024, ge=1024, description="bytes of records in one transaction, at most")
    deduplication_days: PositiveInt = Field(7, description="days in which an event's second coming is told")
    journal_days: PositiveInt = Field(30, description="days that the journal is kept")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe log line shown")
    log_format: Literal["console", "json"] = Field("json", description="form of log lines")
    kafka_properties: dict[str, str] = Field(
        default_factory=dict, description="librdkafka properties, each WORKER_KAFKA__<PROPERTY> with _ for ."
    )

    @field_validator("machines", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr) -> SecretStr:
        if urlsplit(value.get_secret_value()).scheme not in ("postgresql", "postgres"):
            raise ValueError("expected an address that begins with postgresql://")
        return value

    @field_validator("journal_days")
    @classmethod
    def _keeps_the_window(cls, value: int, info: Any) -> int:
        if value < info.data.get("deduplication_days", 0):
            raise ValueError("must not be smaller than WORKER_DEDUPLICATION_DAYS")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from `load_settings` alone, which knows where each came from."""
        del settings_cls
        return (init_settings,)

    SECRETS: ClassVar[tuple[str, ...]] = ("database_url",)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings and where each value came from: `default`, `environment`, `file <path>` or `.env`."""

    settings: Settings
    origins: Mapping[str, str]


def load_settings(
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    defaults: Mapping[str, str] | None = None,
) -> Loaded:
    """Read all settings; `defaults` stand below everything else. Raises: SetupError naming all faults."""
    environment = os.environ if environment is None else environment
    dotenv = {
        name: value for name, value in dotenv_values((directory or Path.cwd()) / ".env").items() if value is not None
    }
    faults: list[str] = []
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for source, origin in ((defaults or {}, "preset"), (dotenv, ".env"), (environment, "environment")):
        for name, value in source.items():
            if name.startswith(PREFIX) and not _NOT_OURS.fullmatch(name):
                _take(name, value, origin, values, origins, faults)
    settings: Settings | None = None
    try:
        settings = Settings(**values)
    except ValidationError as error:
        faults += [_fault(one) for one in error.errors(include_input=False, include_url=False)]
    if faults or settings is None:
        raise SetupError("settings are wrong:\n" + "\n".join(f"  {fault}" for fault in faults))
    return Loaded(settings, {name: origins.get(name, "default") for name in Settings.model_fields})


def _take(
    name: str, value: str, origin: str, values: dict[str, Any], origins: dict[str, str], faults: list[str]
) -> None:
    """Put one variable where it belongs, or say why it belongs nowhere."""
    if name.startswith(KAFKA_PROPERTY_PREFIX):
        kafka_property = name.removeprefix(KAFKA_PROPERTY_PREFIX).lower().replace("_", ".")
        values.setdefault("kafka_properties", {})[kafka_property] = value
        origins["kafka_properties"] = origin
        return
    field = name.removeprefix(PREFIX).lower()
    if field.endswith("_file") and field.removesuffix("_file") in Settings.model_fields:
        field, path = field.removesuffix("_file"), Path(value)
        try:
            value, origin = path.read_text().strip(), f"file {path}"
        except OSError as error:
            faults.append(f"{name}: the file {path} can't be read: {error.strerror}")
            return
    if field not in Settings.model_fields or field == "kafka_properties":
        faults.append(f"{name}: is no setting{_closest(field)}; `worker config` lists them")
        return
    values[field], origins[field] = value, origin


def _closest(field: str) -> str:
    close = difflib.get_close_matches(field, Settings.model_fields, 1)
    return f", did you mean {PREFIX}{close[0].upper()}?" if close else ""


def _fault(error: Mapping[str, Any]) -> str:
    name = PREFIX + str(error["loc"][0]).upper()
    text = "is not set" if error["type"] == "missing" else str(error["msg"]).removeprefix("Value error, ")
    description = Settings.model_fields[error["loc"][0]].description
    return f"{name}: {text} ({description})"
