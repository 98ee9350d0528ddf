"""Containers as the kubelet sees to them: environment, files, commands and probes, taken from rendered manifests."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.helm.chart import ROOT, Manifest
from worker.adapters.embedded.server import LOOPBACK, free_port

Secrets = Mapping[str, Mapping[str, str]]
"""Secrets or ConfigMaps by their names, each with its keys."""

WORKING_DIRECTORY: Final = "/app"
_STARTING_FACTOR: Final = 3
"""How much longer a probe may take here, where many programs share two processors."""

_EXIT_SECONDS: Final = 120
_PROGRAM: Final = """\
#!{python}
import sys

sys.path[:] = [{folder!r}, *(path for path in sys.path if path != {root!r})]
from worker.cli import main

sys.exit(main())
"""


def installed_worker(folder: Path) -> Path:
    """Install the worker as an image has it, without the repository's machines; give the folder of the program."""
    folder.mkdir()
    for name in ("worker", "migrations"):
        (folder / name).symlink_to(ROOT / name)
    program = folder / "bin" / "worker"
    program.parent.mkdir()
    program.write_text(_PROGRAM.format(python=sys.executable, root=str(ROOT), folder=str(folder)))
    program.chmod(0o755)
    return program.parent


def environment(container: Manifest, secrets: Secrets) -> dict[str, str]:
    """Give the variables of a container, those of Secrets looked up."""
    return {variable["name"]: _value(variable, secrets) for variable in container["env"]}


def _value(variable: Manifest, secrets: Secrets) -> str:
    if "value" in variable:
        return str(variable["value"])
    reference = variable["valueFrom"]["secretKeyRef"]
    return secrets[reference["name"]][reference["key"]]


@dataclass(slots=True)
class Container:
    """The only container of a pod, as a process of this machine; what it has mounted is below `root`.

    Programs are those of `programs`. Ports are other ones, since several pods share this machine's address.
    """

    spec: Manifest
    root: Path
    programs: Path
    secrets: Secrets = field(default_factory=dict)
    config_maps: Secrets = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    _restarts_left: int = 2
    _ports: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.root / WORKING_DIRECTORY.strip("/")).mkdir(parents=True)
        self._ports = {port["containerPort"]: free_port() for port in self.container.get("ports", [])}
        volumes = {volume["name"]: volume for volume in self.spec["volumes"]}
        for mount in self.container["volumeMounts"]:
            self._mount(volumes[mount["name"]], self._inside(mount["mountPath"]))

    @property
    def container(self) -> Manifest:
        (one,) = self.spec["containers"]
        return dict(one)

    @property
    def log(self) -> str:
        return (self.root / "log").read_text(errors="replace")

    def start(self) -> None:
        """Start the command."""
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.container["command"], *self.container["args"]],
                cwd=self._inside(WORKING_DIRECTORY),
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, timeout_seconds: float = _EXIT_SECONDS) -> int:
        """Run the command to its end, and give its exit status."""
        self.start()
        assert self.process is not None
        return self.process.wait(timeout_seconds)

    def wait_for(self, probe_name: str, tries: int | None = None) -> None:
        """Probe until it succeeds, as often as it may fail, or so many times. Raises: AssertionError."""
        probe = self.container[probe_name]
        period, most = probe["periodSeconds"], tries or probe["failureThreshold"]
        deadline = time.monotonic() + period * most * _STARTING_FACTOR
        while (answer := self._probed(probe)) is not None:
            if not self._is_running():
                self._restart()
            assert time.monotonic() < deadline, f"{probe_name} failed: {answer}\n{self.log}"
            time.sleep(min(period, 0.2))

    def _is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def _restart(self) -> None:
        """Start what ended again, as the kubelet does, a few times: brokers may be slow to answer here."""
        assert self._restarts_left > 0, f"it ended again and again:\n{self.log}"
        self._restarts_left -= 1
        self.start()

    def terminate(self) -> int:
        """End it as the kubelet does, and give its exit status. Raises: TimeoutExpired, if it would be killed."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(self.spec["terminationGracePeriodSeconds"])

    def close(self) -> None:
        """See to it that nothing of it is left."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(_EXIT_SECONDS)

    def _probed(self, probe: Manifest) -> str | None:
        """Say why a probe fails; None, if it does not."""
        request = probe["httpGet"]
        ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        address = f"http://{LOOPBACK}:{self._ports[ports[request['port']]]}{request['path']}"
        try:
            with urllib.request.urlopen(address, timeout=probe["timeoutSeconds"]):
                return None
        except urllib.error.HTTPError as error:
            with error:
                return f"{error}: {error.read().decode()}"
        except OSError as error:
            return str(error)

    def _environment(self) -> dict[str, str]:
        given = {name: self._mapped(value) for name, value in environment(self.container, self.secrets).items()}
        path = os.pathsep.join((str(self.programs), str(Path(sys.executable).parent), "/usr/bin", "/bin"))
        return {"HOME": str(self.root), "PATH": path, "TMPDIR": str(self._inside("/tmp")), **given}  # noqa: S108 - The container's.

    def _mapped(self, value: str) -> str:
        """Give a value with this machine's ports and paths in the places of the container's."""
        for port, ours in self._ports.items():
            value = str(ours) if value == str(port) else value
        mounted = (mount["mountPath"] for mount in self.container["volumeMounts"])
        return next((str(self._inside(value)) for path in mounted if value.startswith(f"{path}/")), value)

    def _inside(self, path: str) -> Path:
        return self.root / path.removeprefix("/")

    def _mount(self, volume: Manifest, folder: Path) -> None:
        folder.mkdir(parents=True)
        if "configMap" in volume:
            _project(self.config_maps[volume["configMap"]["name"]], folder, 0o644)
        elif "secret" in volume:
            _project(self.secrets[volume["secret"]["secretName"]], folder, volume["secret"]["defaultMode"])


def _project(files: Mapping[str, str], folder: Path, mode: int) -> None:
    """Lay files as the kubelet does: links to links, so that all of them change at once."""
    data = folder / "..2026_11_24"
    data.mkdir()
    (folder / "..data").symlink_to(data.name)
    for name, text in files.items():
        (data / name).write_text(text)
        (data / name).chmod(mode)
        (folder / name).symlink_to(f"..data/{name}")
