"""Settings: `WORKER_*` from the environment, from files that `WORKER_*_FILE` names, and from `.env`.

The environment stands above `.env`. All faults are reported at once, and a name that is no setting is a fault too:
a misspelt setting must not be silently left at its default. No fault tells a value, which may be a secret.
"""

import difflib
import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from dotenv.parser import parse_stream
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ValidationInfo

from worker.core.errors import SetupError
from worker.core.retention import retention_of

PREFIX: Final = "WORKER_"
KAFKA_PROPERTY_PREFIX: Final = "WORKER_KAFKA__"
DAYS_MAX: Final = 36_500
"""A hundred years: what is meant as “for ever” stays within what dates can say."""

ENGINES: Final = ("compiled", "sismic")
"""The engines that are built in."""

_FACTORY: Final = re.compile(r"\w+(\.\w+)*:\w+")

_FILE: Final = "_FILE"
_SECRET_PROPERTY_FILE: Final = re.compile(r"\w*(?:PASSWORD|SECRET)_FILE", re.IGNORECASE)
"""Other properties that end in `.file` are librdkafka's own."""

_TEST_SETTING: Final = re.compile(r"WORKER_TEST_\w+")
_SERVICE: Final = re.compile(
    r"WORKER_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)"
)
_SERVICE_PORT: Final = re.compile(r"WORKER_(?:\w+_)?PORT")
_SERVICE_ADDRESS: Final = re.compile(r"(?:tcp|udp|sctp)://")
"""What Kubernetes puts into the environment for a Service whose name begins with `worker`."""

_WHOLE_NUMBER: Final = re.compile(r"-?\d{1,10}")
_OWN_PROPERTIES: Final = {
    "bootstrap.servers": "set WORKER_KAFKA_BOOTSTRAP_SERVERS",
    "group.id": "set WORKER_GROUP_ID",
    "group.protocol": "set WORKER_GROUP_PROTOCOL",
} | dict.fromkeys(
    (
        "acks",
        "auto.offset.reset",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "isolation.level",
        "partition.assignment.strategy",
        "partitioner",
        "request.required.acks",
        "transactional.id",
    ),
    "exactly once rests on the worker's own value; leave it out",
)


class Settings(BaseModel):
    """Every setting, with its default. The description is what `worker config` shows."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    kafka_bootstrap_servers: str = Field(min_length=1, description="Kafka brokers, host:port, separated by commas")
    database_url: SecretStr = Field(description="PostgreSQL address, postgresql://user:password@host:port/database")
    group_id: str = Field("orchestrator", min_length=1, description="consumer group")
    topic_prefix: str = Field(
        "orchestrator", pattern=r"^[a-zA-Z0-9._-]+$", description="topics are PREFIX.input, PREFIX.<domain>, PREFIX.dlq"
    )
    machines: tuple[str, ...] = Field(
        ("machines",), min_length=1, description="packages with machines, separated by commas"
    )
    engine: str = Field("compiled", description="execution engine: compiled, sismic, or package.module:factory")
    registry: str | None = Field(None, description="registry of one's own: package.module:factory")
    delivery: Literal["exactly_once", "at_least_once"] = Field(
        "exactly_once", description="delivery mode; at_least_once: no Kafka transactions, outputs may appear twice"
    )
    kafka_content_mode: Literal["structured", "binary"] = Field("structured", description="CloudEvents mode of outputs")
    executionunits: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="executionunits of emitted events, if a machine sets none"
    )
    error_stacks: bool = Field(False, description="put stack traces, which tell paths, into system error events")
    create_topics: bool = Field(False, description="create missing topics at start")
    topic_partitions: int = Field(10, ge=1, le=10_000, description="partitions of topics that are created")
    batch_records_max: int = Field(1_000, ge=1, le=10_000, description="records in one transaction, at most")
    batch_bytes_max: int = Field(
        8 * 1024 * 1024, ge=1024, le=1024**3, description="bytes of records in one transaction, at most"
    )
    step_timeout_seconds: float = Field(
        30.0, gt=0, le=3_600, description="seconds of one step, at most; beyond, the process ends"
    )
    database_timeout_seconds: float = Field(
        30.0, ge=1, le=600, description="seconds of one call to PostgreSQL, at most"
    )
    kafka_timeout_seconds: float = Field(30.0, ge=1, le=600, description="seconds of one call to Kafka, at most")
    version_wait_seconds: float = Field(
        300.0, ge=0, le=86_400, description="seconds that a partition waits for a machine's version under roll-out"
    )
    group_protocol: Literal["classic", "consumer"] = Field(
        "classic", description="consumer group protocol; consumer: KIP-848, with brokers from 4.0 on"
    )
    deduplication_days: int = Field(7, ge=1, le=DAYS_MAX, description="days in which an event's second coming is told")
    journal_days: int = Field(30, ge=1, le=DAYS_MAX, description="days that the journal is kept")
    instance_retention: tuple[str, ...] = Field(
        ("keep",),
        min_length=1,
        description="what becomes of instances that ended: keep, remove:DAYS or archive:DAYS; "
        "for one machine MACHINE=…, separated by commas",
    )
    http_port: int = Field(
        0, ge=0, le=65_535, description="port of /livez, /readyz and /metrics; 0: any free one, told in the log"
    )
    http_host: str = Field("0.0.0.0", min_length=1, description="address that this port is opened on")  # noqa: S104 - Probes and scrapers come from other machines.
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe log line shown")
    log_format: Literal["console", "json"] = Field("json", description="form of log lines")
    kafka_properties: dict[str, str] = Field(
        default_factory=dict,
        repr=False,
        description="librdkafka properties, each WORKER_KAFKA__<PROPERTY> with _ for .",
    )

    @field_validator("machines", "instance_retention", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("engine", "registry")
    @classmethod
    def _is_part(cls, value: str | None, info: ValidationInfo) -> str | None:
        built_in = ENGINES if info.field_name == "engine" else ()
        if value is None or value in built_in or _FACTORY.fullmatch(value):
            return value
        raise ValueError(f"expected {''.join(f'{name}, or ' for name in built_in)}a factory as package.module:factory")

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("expected an address that begins with postgresql://")
        return value

    @field_validator("journal_days")
    @classmethod
    def _keeps_the_window(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("deduplication_days", 0):
            raise ValueError("must not be smaller than WORKER_DEDUPLICATION_DAYS")
        return value

    @field_validator("instance_retention")
    @classmethod
    def _outlives_the_window(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        """Have an instance outlive the second comings that are told: one of its start would else begin it again."""
        retention = retention_of(value)
        if any(rule.days is not None and rule.days > DAYS_MAX for rule in retention.rules):
            raise ValueError(f"days must not be more than {DAYS_MAX}")
        if (shortest := retention.shortest_days) is not None and shortest < info.data.get("deduplication_days", 1):
            raise ValueError("days must not be fewer than WORKER_DEDUPLICATION_DAYS")
        return value


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings and where each value came from: `default`, `preset`, `.env`, `environment` or `file <path>`.

    Each Kafka property that is set has its own, as `kafka_properties.<name>`.
    """

    settings: Settings
    origins: Mapping[str, str]


def load_settings(
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    defaults: Mapping[str, str] | None = None,
) -> Loaded:
    """Read all settings; `defaults` stand below everything else. Raises: SetupError naming all faults."""
    found = _Found()
    found.take_all(defaults or {}, "preset")
    found.take_dotenv((directory or Path.cwd()) / ".env")
    found.take_all(os.environ if environment is None else environment, "environment")
    try:
        settings = Settings(**found.values)
    except ValidationError as error:
        found.faults += [_fault(one) for one in error.errors(include_input=False, include_url=False)]
    else:
        if not found.faults:
            return Loaded(settings, dict.fromkeys(Settings.model_fields, "default") | found.origins)
    raise SetupError("settings are wrong:\n" + "\n".join(f"  {fault}" for fault in found.faults))


@dataclass(slots=True)
class _Found:
    """What the sources gave so far; a later one stands above an earlier one."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def take_all(self, source: Mapping[str, str], origin: str) -> None:
        """Take every variable that is ours."""
        for name, value in source.items():
            if name.startswith(PREFIX) and not _is_foreign(name, value):
                self._take(name, value, origin, source)

    def take_dotenv(self, path: Path) -> None:
        """Take what the file sets, if it is there. A line that can't be read is a fault: it may be a setting."""
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return
        except (OSError, ValueError) as error:
            self.faults.append(f"{path.name}: the file {path} can't be read: {_reason(error)}")
            return
        # Without interpolation: a password may hold `${`.
        bindings = list(parse_stream(io.StringIO(text)))
        self.faults += [
            f"{path.name}: line {one.original.line} of {path} can't be read; expected NAME=value, and quotes in pairs"
            for one in bindings
            if one.error
        ]
        self.take_all({one.key: one.value for one in bindings if one.key and one.value is not None}, path.name)

    def _take(self, name: str, value: str, origin: str, source: Mapping[str, str]) -> None:
        if not _is_file_variant(name):
            self._put(name, value, origin)
            return
        target = name[: -len(_FILE)]
        if target in source:
            self.faults.append(f"{name}: {target} is set too; leave one of them out")
            return
        try:
            self._put(target, Path(value).read_text(encoding="utf-8").strip(), f"file {value}")
        except (OSError, ValueError) as error:
            self.faults.append(f"{name}: the file {value} can't be read: {_reason(error)}")

    def _put(self, name: str, value: str, origin: str) -> None:
        if name.startswith(KAFKA_PROPERTY_PREFIX):
            self._put_property(name, value, origin)
        elif (setting := _setting(name)) in _SETTABLE:
            self.values[setting], self.origins[setting] = value, origin
        else:
            self.faults.append(f"{name}: is no setting{_closest(setting)} `worker config` lists them")

    def _put_property(self, name: str, value: str, origin: str) -> None:
        kafka_property = name.removeprefix(KAFKA_PROPERTY_PREFIX).lower().replace("_", ".")
        if kafka_property in _OWN_PROPERTIES:
            self.faults.append(f"{name}: can't be set: {_OWN_PROPERTIES[kafka_property]}")
            return
        if kafka_property.endswith(".ms") and not _WHOLE_NUMBER.fullmatch(value):
            self.faults.append(f"{name}: expected a whole number of milliseconds")
            return
        self.values.setdefault("kafka_properties", {})[kafka_property] = value
        self.origins["kafka_properties"] = self.origins[f"kafka_properties.{kafka_property}"] = origin


_SETTABLE: Final = frozenset(Settings.model_fields) - {"kafka_properties"}


def _setting(name: str) -> str:
    return name.removeprefix(PREFIX).lower()


def _is_foreign(name: str, value: str) -> bool:
    """Tell what begins with our prefix and is somebody else's."""
    if _SERVICE_PORT.fullmatch(name) and _SERVICE_ADDRESS.match(value):
        # Of a Service named worker-http, say, whose WORKER_HTTP_PORT is no port.
        return True
    if _setting(name) in _SETTABLE:
        return False
    return bool(_TEST_SETTING.fullmatch(name) or _SERVICE.fullmatch(name))


def _reason(error: OSError | ValueError) -> str:
    return str(error.strerror) if isinstance(error, OSError) else "it is no UTF-8 text"


def _is_file_variant(name: str) -> bool:
    if name.startswith(KAFKA_PROPERTY_PREFIX):
        return _SECRET_PROPERTY_FILE.fullmatch(name) is not None
    return name.upper().endswith(_FILE) and _setting(name[: -len(_FILE)]) in _SETTABLE


def _closest(setting: str) -> str:
    close = difflib.get_close_matches(setting, _SETTABLE, 1)
    return f", did you mean {PREFIX}{close[0].upper()}?" if close else ";"


def _fault(error: ErrorDetails) -> str:
    setting = str(error["loc"][0])
    text = "is not set" if error["type"] == "missing" else error["msg"].removeprefix("Value error, ")
    return f"{PREFIX}{setting.upper()}: {text} ({Settings.model_fields[setting].description})"
