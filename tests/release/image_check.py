"""The image, built from the Dockerfile and run on Apache Kafka and PostgreSQL: `make image-check`.

No engine is needed: buildah builds it, and it runs in its file system, read-only, as the user, in the folder and with
the environment that it names; its health check and its signal are used. In place of the base image, which only a
registry of images has, stands what that is made of: the same release of Debian, with the same Python.
"""

import json
import os
import re
import signal
import stat
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import pytest

from tests.acceptance.checks import assert_orders_done
from tests.acceptance.deployment import Deployment, wait_until
from tests.docs.pages import Page
from tests.release.roots import Root, debian, files_of, first_process, lacking
from tests.servers.kafka import KafkaCluster
from tests.workload import records
from worker.adapters.embedded.server import free_port

ROOT = Path(__file__).parents[2]
PAGE = Page("docs/docker.md")
(BASE,) = re.findall(r"^ARG BASE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
PYTHON, RELEASE = re.findall(r"^python:(3\.\d+)-slim-(\w+)$", BASE)[0]
IMAGE = "orchestrator-worker:0.1.0"
USER = 10001
MACHINES = {ROOT / "machines": "/app/machines"}
REQUIRED = {"WORKER_DATABASE_URL": "postgresql://nowhere", "WORKER_KAFKA_BOOTSTRAP_SERVERS": "nowhere"}
ORDERS = 40
COMMAND_SECONDS = 180.0
READY_SECONDS = 90.0
SHUTDOWN_SECONDS = 30.0
CERTIFICATES = Path("/etc/ssl/certs")
NEEDS_A_PACKAGE = """
import iniconfig
from machines.order import machine
assert iniconfig
"""

pytestmark = pytest.mark.timeout(1800)


@dataclass(frozen=True, slots=True)
class Builder:
    """buildah, with a store of its own."""

    store: Path

    def __call__(self, *words: str) -> str:
        places = ["--root", str(self.store / "images"), "--runroot", str(self.store / "run"), "--storage-driver", "vfs"]
        done = subprocess.run(["buildah", *places, *words], check=False, capture_output=True, text=True)
        assert done.returncode == 0, f"buildah {' '.join(words)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout.strip()

    def stand_in(self, name: str, archive: Path) -> None:
        """Make an image of a root."""
        container = self("from", "scratch")
        self("add", "--quiet", container, str(archive), "/")
        self("commit", "--quiet", container, name)
        self("rm", container)

    def build(self, name: str, folder: Path, *words: str) -> "Image":
        """Build the Dockerfile of a folder; what a stage gets from the network, it gets from the machine's."""
        given = ["--isolation", "chroot", "--network", "host", "--format", "docker", "--pull-never"]
        given += ["--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"]
        self("build", *given, *words, "--tag", f"localhost/{name}", str(folder))
        told: dict[str, Any] = json.loads(self("inspect", "--type", "image", f"localhost/{name}"))
        return Image(Path(self("mount", self("from", "--pull-never", f"localhost/{name}"))), told["Docker"]["config"])


@dataclass(frozen=True, slots=True)
class Image:
    """The file system of an image, and its configuration."""

    folder: Path
    config: Mapping[str, Any]

    def command(self, words: list[str], mounts: Mapping[Path, str]) -> list[str]:
        user, directory = self.config["User"], self.config["WorkingDir"]
        return Root(self.folder, user, directory, is_read_only=True, mounts=mounts).command(words)

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        return dict(variable.split("=", 1) for variable in self.config["Env"]) | dict(given)

    def run(
        self, *arguments: str, given: Mapping[str, str] | None = None, mounts: Mapping[Path, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the entrypoint with these arguments, to its end."""
        return self.execute([*self.config["Entrypoint"], *arguments], given or {}, mounts or {})

    def execute(
        self, words: list[str], given: Mapping[str, str], mounts: Mapping[Path, str]
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(words, mounts),
            check=False,
            capture_output=True,
            text=True,
            env=self.environment(given),
            timeout=COMMAND_SECONDS,
        )


@dataclass(slots=True)
class Container:
    """The image's own command, as it goes on."""

    image: Image
    given: Mapping[str, str]
    log: Path
    program: subprocess.Popen[bytes] = field(init=False)

    def __enter__(self) -> Self:
        config = self.image.config
        command = self.image.command([*config["Entrypoint"], *config["Cmd"]], MACHINES)
        with self.log.open("wb") as log:
            self.program = subprocess.Popen(command, stdout=log, stderr=log, env=self.image.environment(self.given))
        return self

    def __exit__(self, *_: object) -> None:
        self.program.kill()
        self.program.wait()

    def health(self) -> subprocess.CompletedProcess[str]:
        kind, *words = self.image.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.image.execute(words, self.given, MACHINES)

    def is_healthy(self) -> bool:
        assert self.program.poll() is None, self.log.read_text()
        return self.health().returncode == 0

    def stop(self) -> int:
        os.kill(first_process(self.program.pid), signal.Signals[self.image.config["StopSignal"]])
        return self.program.wait(SHUTDOWN_SECONDS)


@pytest.fixture(scope="session")
def builder() -> Iterator[Builder]:
    if remedy := lacking("mmdebstrap", "buildah"):
        pytest.fail(remedy, pytrace=False)
    archive = debian(RELEASE, ["python3", "python3-pip"])
    with TemporaryDirectory() as store:
        made = Builder(Path(store))
        made.stand_in(f"localhost/{BASE}", archive)
        yield made
        made("rm", "--all")


@pytest.fixture(scope="session")
def image(builder: Builder) -> Image:
    return builder.build(IMAGE, ROOT, "--build-arg", "VERSION=0.1.0")


def test_the_base_has_the_python_that_the_image_names(image: Image) -> None:
    assert image.execute(["python3", "--version"], {}, {}).stdout.startswith(f"Python {PYTHON}.")


def test_the_image_says_how_it_is_run(image: Image) -> None:
    config = image.config
    assert (config["User"], config["WorkingDir"]) == (f"{USER}:{USER}", "/app")
    assert (config["Entrypoint"], config["Cmd"], config["StopSignal"]) == (["worker"], ["run"], "SIGTERM")
    assert config["Labels"]["org.opencontainers.image.version"] == image.run("--version").stdout.strip() == "0.1.0"
    assert image.run("config", "http_port", given=REQUIRED).stdout.split()[6:9] == [
        "WORKER_HTTP_PORT",
        "8080",
        "environment",
    ]


def test_it_has_what_is_locked_and_no_more(image: Image) -> None:
    locked = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "requirements-image.lock").read_text(), re.MULTILINE))
    script = "import importlib.metadata as m; [print(d.name, d.version) for d in m.distributions()]"
    told = image.execute(["/opt/worker/bin/python", "-c", script], {}, {}).stdout.split("\n")
    installed = {
        name.lower().replace("_", "-").replace(".", "-"): version for name, version in map(str.split, told[:-1])
    }
    assert installed.pop("orchestrator-worker") == "0.1.0"
    assert installed == {name: locked[name] for name in installed}
    assert {"confluent-kafka", "psycopg-binary", "opentelemetry-exporter-otlp-proto-http"} <= installed.keys()


def test_all_is_compiled_and_none_of_it_is_checked_for_its_age(image: Image) -> None:
    sources = list((image.folder / "opt/worker").rglob("*.py"))
    assert len(sources) > 1000
    for source in sources:
        (compiled,) = (source.parent / "__pycache__").glob(f"{source.stem}.cpython-*.pyc")
        assert compiled.read_bytes()[4:8] == b"\x01\0\0\0", f"{compiled} is dated"


def test_nothing_in_it_may_be_written_or_makes_root_of_its_user(image: Image) -> None:
    for path in files_of(image.folder):
        told = path.lstat()
        assert not stat.S_ISREG(told.st_mode) or not told.st_mode & (stat.S_ISUID | stat.S_ISGID), path
        assert USER not in {told.st_uid, told.st_gid}, path
        open_to_all = told.st_mode & stat.S_IWOTH and not stat.S_ISLNK(told.st_mode)
        assert not open_to_all or told.st_mode & stat.S_ISVTX, path
    tried = image.execute(
        ["sh", "-c", "id -u; touch /app/x; touch /opt/worker/x; touch /tmp/x && echo in /tmp"], {}, {}
    )
    assert tried.stdout == f"{USER}\nin /tmp\n"
    assert tried.stderr.count("Read-only file system") == 2


def test_it_migrates_runs_is_healthy_and_ends_on_its_signal(
    image: Image, kafka_cluster: KafkaCluster, database_url: str, tmp_path: Path
) -> None:
    with Deployment(kafka_cluster, database_url, tmp_path) as deployment:
        given = deployment.environment() | {"WORKER_HTTP_PORT": str(free_port())}
        migrated = image.run("migrate", given=given)
        assert migrated.returncode == 0, migrated.stderr
        deployment.produce(records(ORDERS))
        with Container(image, given, tmp_path / "log.txt") as container:
            wait_until(container.is_healthy, READY_SECONDS, "the image's health check is content")
            wait_until(
                lambda: image.run("health", "--ready", given=given).stdout.startswith("ready\n"), READY_SECONDS, "ready"
            )
            deployment.finish()
            assert container.stop() == 0, container.log.read_text()
            ended = container.health()
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "no worker answers" in ended.stderr
        assert_orders_done(deployment, range(ORDERS))
        assert [one.owner for one in deployment.positions()] == [None] * len(deployment.positions())


def test_a_missing_setting_ends_it_with_what_to_do(image: Image) -> None:
    done = image.run("run")
    assert done.returncode == 2
    assert "WORKER_DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [0, 1], ids=["machines", "packages too"])
def test_machines_are_added_as_the_page_says(builder: Builder, image: Image, tmp_path: Path, number: int) -> None:
    text = PAGE.blocks("dockerfile")[number]
    (tmp_path / "Dockerfile").write_text(text)
    machines = tmp_path / "machines"
    subprocess.run(["cp", "-r", str(ROOT / "machines"), str(machines)], check=True)
    arguments = ["machines", "list"]
    if "requirements.txt" in text:
        pin = re.search(
            r"^iniconfig==\S+ \\\n(?: +--hash=\S+(?: \\)?\n)+", (ROOT / "requirements.lock").read_text(), re.MULTILINE
        )
        assert pin
        (tmp_path / "requirements.txt").write_text(pin[0])
        (machines / "needy").mkdir()
        (machines / "needy/__init__.py").write_text(NEEDS_A_PACKAGE)
    extended = builder.build(f"extended-{number}", tmp_path)
    done = extended.run(*arguments, given={"WORKER_MACHINES": "machines"})
    assert done.returncode == 0, done.stderr
    assert "arvo.orc.order" in done.stdout
    assert extended.config["User"] == image.config["User"]
