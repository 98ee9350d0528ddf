"""Settings: where they come from, and what is said of those that are wrong."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from worker.core.errors import SetupError
from worker.settings import Loaded, Settings, load_settings

HIDDEN = "s3cr3t/${pass}"
URL = f"postgresql://user:{HIDDEN}@db:5432/orders"
NEEDED = {"WORKER_KAFKA_BOOTSTRAP_SERVERS": "broker:9092", "WORKER_DATABASE_URL": URL}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path


def load(directory: Path, defaults: Mapping[str, str] | None = None, **environment: str) -> Loaded:
    given = {f"WORKER_{name}": value for name, value in environment.items()}
    return load_settings(NEEDED | given, directory, defaults)


def faults(directory: Path, environment: Mapping[str, str]) -> list[str]:
    with pytest.raises(SetupError) as raised:
        load_settings(environment, directory)
    head, *lines = str(raised.value).splitlines()
    assert head == "settings are wrong:"
    assert HIDDEN not in str(raised.value)
    return [line.strip() for line in lines]


def test_the_defaults(directory: Path) -> None:
    loaded = load(directory)
    settings = loaded.settings
    assert (settings.group_id, settings.topic_prefix, settings.machines) == (
        "orchestrator",
        "orchestrator",
        ("machines",),
    )
    assert (settings.engine, settings.delivery, settings.create_topics) == ("compiled", "exactly_once", False)
    assert settings.executionunits is None
    assert settings.database_url.get_secret_value() == URL
    assert set(loaded.origins) == set(Settings.model_fields)
    needed = {"kafka_bootstrap_servers", "database_url"}
    assert {name for name, origin in loaded.origins.items() if origin != "default"} == needed


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("MACHINES", " orders , billing.flows ,", ("orders", "billing.flows")),
        ("EXECUTIONUNITS", "0.5", 0.5),
        ("ERROR_STACKS", "true", True),
        ("CREATE_TOPICS", "0", False),
        ("TOPIC_PARTITIONS", "3", 3),
        ("KAFKA_CONTENT_MODE", "binary", "binary"),
        ("JOURNAL_DAYS", "7", 7),
        ("INSTANCE_RETENTION", "remove:90, a.b=keep", ("remove:90", "a.b=keep")),
    ],
)
def test_texts_become_values(directory: Path, name: str, text: str, value: object) -> None:
    loaded = load_settings({**NEEDED, f"WORKER_{name}": text}, directory)
    assert getattr(loaded.settings, name.lower()) == value
    assert loaded.origins[name.lower()] == "environment"


class TestSources:
    def test_the_environment_stands_above_dotenv_above_presets(self, directory: Path) -> None:
        (directory / ".env").write_text("WORKER_GROUP_ID=dotenv\nWORKER_TOPIC_PREFIX=dotenv\nOTHER=x\nWORKER_ENGINE\n")
        presets = {"WORKER_GROUP_ID": "preset", "WORKER_TOPIC_PREFIX": "preset", "WORKER_LOG_LEVEL": "debug"}
        loaded = load(directory, presets, GROUP_ID="environment")
        settings, origins = loaded.settings, loaded.origins
        assert (settings.group_id, origins["group_id"]) == ("environment", "environment")
        assert (settings.topic_prefix, origins["topic_prefix"]) == ("dotenv", ".env")
        assert (settings.log_level, origins["log_level"]) == ("debug", "preset")

    def test_the_process_s_environment_and_folder_are_meant_if_none_is_given(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (directory / ".env").write_text("WORKER_GROUP_ID=dotenv\n")
        monkeypatch.chdir(directory)
        for name, value in NEEDED.items():
            monkeypatch.setenv(name, value)
        assert load_settings().settings.group_id == "dotenv"

    def test_dotenv_is_taken_as_it_is_written(self, directory: Path) -> None:
        (directory / ".env").write_text(f"WORKER_DATABASE_URL='{URL}'\n")
        given = {"WORKER_KAFKA_BOOTSTRAP_SERVERS": "broker:9092"}
        assert load_settings(given, directory).settings.database_url.get_secret_value() == URL

    def test_dotenv_may_begin_with_a_byte_order_mark(self, directory: Path) -> None:
        (directory / ".env").write_bytes(b"\xef\xbb\xbfWORKER_GROUP_ID=dotenv\r\n")
        assert load(directory).settings.group_id == "dotenv"

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"WORKER_GROUP_ID=\xff\n", "it is no UTF-8 text"),
            (f'A=b\nWORKER_DATABASE_URL="{HIDDEN}\n'.encode(), "expected NAME=value, and quotes in pairs"),
        ],
    )
    def test_a_dotenv_that_can_not_be_read_is_a_fault(self, directory: Path, content: bytes, reason: str) -> None:
        (directory / ".env").write_bytes(content)
        (fault,) = faults(directory, NEEDED)
        assert fault.startswith(".env: ")
        assert fault.endswith(reason)

    def test_a_dotenv_that_leads_nowhere_is_a_fault(self, directory: Path) -> None:
        (directory / ".env").symlink_to(".env")
        (fault,) = faults(directory, NEEDED)
        assert fault.endswith("can't be read: Too many levels of symbolic links")


class TestFiles:
    def test_a_file_gives_the_value(self, directory: Path) -> None:
        secret = directory / "url"
        secret.write_text(f"  {URL}\n")
        given = {"WORKER_KAFKA_BOOTSTRAP_SERVERS": "broker:9092", "WORKER_DATABASE_URL_FILE": str(secret)}
        loaded = load_settings(given, directory)
        assert loaded.settings.database_url.get_secret_value() == URL
        assert loaded.origins["database_url"] == f"file {secret}"

    def test_the_environment_s_value_stands_above_dotenv_s_file(self, directory: Path) -> None:
        (directory / ".env").write_text("WORKER_GROUP_ID_FILE=group\n")
        (directory / "group").write_text("from file")
        (directory / ".env").write_text(f"WORKER_GROUP_ID_FILE={directory / 'group'}\n")
        assert load(directory).settings.group_id == "from file"
        assert load(directory, GROUP_ID="environment").settings.group_id == "environment"

    def test_both_at_once_are_a_fault(self, directory: Path) -> None:
        (fault,) = faults(directory, {**NEEDED, "WORKER_DATABASE_URL_FILE": "/nowhere"})
        assert fault == "WORKER_DATABASE_URL_FILE: WORKER_DATABASE_URL is set too; leave one of them out"

    def test_a_file_that_can_not_be_read(self, directory: Path) -> None:
        missing, binary = directory / "missing", directory / "binary"
        binary.write_bytes(b"\xff\xfe")
        given = {**NEEDED, "WORKER_GROUP_ID_FILE": str(missing), "WORKER_ENGINE_FILE": str(binary)}
        assert faults(directory, given) == [
            f"WORKER_GROUP_ID_FILE: the file {missing} can't be read: No such file or directory",
            f"WORKER_ENGINE_FILE: the file {binary} can't be read: it is no UTF-8 text",
        ]


class TestFaults:
    def test_all_are_told_at_once(self, directory: Path) -> None:
        (directory / ".env").write_text("WORKER_GRUOP_ID=x\n")
        given = {
            "WORKER_DATABASE_URL": f"mysql://user:{HIDDEN}@db/x",
            "WORKER_TOPIC_PARTITIONS": "none",
            "WORKER_DEDUPLICATION_DAYS": "31",
            "WORKER_KAFKA__GROUP_ID": "x",
            "WORKER_EXECUTIONUNITS": "nan",
            "WORKER_MACHINES": " , ",
        }
        told = faults(directory, given)
        assert [fault.partition(":")[0] for fault in told] == [
            "WORKER_GRUOP_ID",
            "WORKER_KAFKA__GROUP_ID",
            "WORKER_KAFKA_BOOTSTRAP_SERVERS",
            "WORKER_DATABASE_URL",
            "WORKER_MACHINES",
            "WORKER_EXECUTIONUNITS",
            "WORKER_TOPIC_PARTITIONS",
            "WORKER_JOURNAL_DAYS",
        ]
        assert told[2] == "WORKER_KAFKA_BOOTSTRAP_SERVERS: is not set (Kafka brokers, host:port, separated by commas)"
        assert "postgresql://" in told[3]
        assert "WORKER_DEDUPLICATION_DAYS" in told[-1]

    @pytest.mark.parametrize(
        ("name", "suggestion"),
        [
            ("WORKER_GRUOP_ID", ", did you mean WORKER_GROUP_ID?"),
            ("WORKER_DATABSE_URL_FILE", ", did you mean WORKER_DATABASE_URL?"),
            ("WORKER_XYZZY", ""),
            ("WORKER_KAFKA_PROPERTIES", ""),
        ],
    )
    def test_a_name_that_is_no_setting(self, directory: Path, name: str, suggestion: str) -> None:
        (fault,) = faults(directory, {**NEEDED, name: "x"})
        assert fault.startswith(f"{name}: is no setting")
        assert suggestion in fault
        assert fault.endswith("`worker config` lists them")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("WORKER_TOPIC_PREFIX", "a b"),
            ("WORKER_ENGINE", "xstate"),
            ("WORKER_DELIVERY", "at_most_once"),
            ("WORKER_BATCH_RECORDS_MAX", "0"),
            ("WORKER_EXECUTIONUNITS", "-1"),
            ("WORKER_CREATE_TOPICS", "perhaps"),
            ("WORKER_GROUP_ID", ""),
            ("WORKER_TOPIC_PARTITIONS", "99999999999"),
            ("WORKER_JOURNAL_DAYS", "99999999999"),
            ("WORKER_INSTANCE_RETENTION", "remove:6"),
            ("WORKER_INSTANCE_RETENTION", "keep,a.b=archive:6"),
            ("WORKER_INSTANCE_RETENTION", "remove:36501"),
            ("WORKER_INSTANCE_RETENTION", "remove"),
            ("WORKER_INSTANCE_RETENTION", " , "),
            ("WORKER_BATCH_BYTES_MAX", "99999999999"),
        ],
    )
    def test_a_value_that_is_wrong_is_named_and_not_shown(self, directory: Path, name: str, value: str) -> None:
        (fault,) = faults(directory, {**NEEDED, name: value})
        assert fault.startswith(f"{name}: ")
        assert Settings.model_fields[name.removeprefix("WORKER_").lower()].description in fault  # type: ignore[operator]

    @pytest.mark.parametrize("url", [f"user:{HIDDEN}@db", f"postgresql:{HIDDEN}", f"postgresql//{HIDDEN}", ""])
    def test_no_secret_in_a_fault(self, directory: Path, url: str) -> None:
        assert len(faults(directory, {**NEEDED, "WORKER_DATABASE_URL": url})) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKER_SERVICE_HOST", "10.0.0.1"),
        ("WORKER_SERVICE_PORT", "8080"),
        ("WORKER_SERVICE_PORT_HTTP", "8080"),
        ("WORKER_PORT", "tcp://10.0.0.1:8080"),
        ("WORKER_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("WORKER_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("WORKER_POSTGRES_SERVICE_HOST", "10.0.0.1"),
        ("WORKER_POSTGRES_PORT", "tcp://10.0.0.1:5432"),
        ("WORKER_POSTGRES_PORT_5432_TCP_PROTO", "tcp"),
        ("WORKER_HTTP_PORT", "tcp://10.0.0.1:8080"),
        ("WORKER_TEST_DATABASE_URL", "x"),
        ("OTHER_GROUP_ID", "x"),
    ],
)
def test_what_is_not_ours_is_left_alone(directory: Path, name: str, value: str) -> None:
    assert load_settings({**NEEDED, name: value}, directory) == load(directory)


@pytest.mark.parametrize("name", ["WORKER_PORT", "WORKER_POSTGRES_PORT"])
def test_a_port_that_kubernetes_did_not_set_is_a_fault(directory: Path, name: str) -> None:
    assert len(faults(directory, {**NEEDED, name: "8080"})) == 1


class TestKafkaProperties:
    def test_underscores_stand_for_dots(self, directory: Path) -> None:
        loaded = load(directory, KAFKA__SECURITY_PROTOCOL="SASL_SSL", KAFKA__SESSION_TIMEOUT_MS="6000")
        assert loaded.settings.kafka_properties == {"security.protocol": "SASL_SSL", "session.timeout.ms": "6000"}
        assert loaded.origins["kafka_properties"] == "environment"

    def test_sources_add_up(self, directory: Path) -> None:
        (directory / ".env").write_text("WORKER_KAFKA__LINGER_MS=5\nWORKER_KAFKA__CLIENT_ID=dotenv\n")
        loaded = load(directory, KAFKA__CLIENT_ID="environment")
        assert loaded.settings.kafka_properties == {"linger.ms": "5", "client.id": "environment"}

    def test_secrets_may_come_from_files_but_names_of_files_are_properties_too(self, directory: Path) -> None:
        (directory / "password").write_text(f"{HIDDEN}\n")
        loaded = load(
            directory,
            KAFKA__SASL_PASSWORD_FILE=str(directory / "password"),
            KAFKA__SASL_OAUTHBEARER_ASSERTION_PRIVATE_KEY_FILE="/keys/one",
        )
        assert loaded.settings.kafka_properties == {
            "sasl.password": HIDDEN,
            "sasl.oauthbearer.assertion.private.key.file": "/keys/one",
        }

    @pytest.mark.parametrize("value", ["6 s", "6000.0", ""])
    def test_a_time_is_a_whole_number(self, directory: Path, value: str) -> None:
        (fault,) = faults(directory, {**NEEDED, "WORKER_KAFKA__SESSION_TIMEOUT_MS": value})
        assert fault == "WORKER_KAFKA__SESSION_TIMEOUT_MS: expected a whole number of milliseconds"

    @pytest.mark.parametrize(
        ("name", "advice"),
        [
            ("ENABLE_AUTO_COMMIT", "leave it out"),
            ("ISOLATION_LEVEL", "leave it out"),
            ("TRANSACTIONAL_ID", "leave it out"),
            ("GROUP_ID", "WORKER_GROUP_ID"),
            ("BOOTSTRAP_SERVERS", "WORKER_KAFKA_BOOTSTRAP_SERVERS"),
        ],
    )
    def test_what_exactly_once_rests_on_can_not_be_changed(self, directory: Path, name: str, advice: str) -> None:
        (fault,) = faults(directory, {**NEEDED, f"WORKER_KAFKA__{name}": "x"})
        assert fault.startswith(f"WORKER_KAFKA__{name}: can't be set")
        assert advice in fault


def test_no_secret_in_what_is_printed(directory: Path) -> None:
    loaded = load(directory, KAFKA__SASL_PASSWORD=HIDDEN)
    assert HIDDEN not in repr(loaded)
    assert HIDDEN not in str(loaded.settings)


def test_settings_do_not_change(directory: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(directory).settings.group_id = "other"  # type: ignore[misc]
