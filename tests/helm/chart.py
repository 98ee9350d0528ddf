"""The chart, and what Helm makes of it."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ruamel.yaml

from tests.servers.helm import build_helm

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "helm"
VALUE_SETS: Final = sorted((Path(__file__).parent / "values").glob("*.yaml"))
SNAPSHOTS: Final = Path(__file__).parent / "snapshots"

RELEASE: Final = "shop"
NAMESPACE: Final = "orders"
TIMEOUT_SECONDS: Final = 60

Manifest = dict[str, Any]

_SHOWN: Final = """\
{apiVersion: v1, kind: ConfigMap, metadata: {name: notes}, data: {text: {{ tpl (.Files.Get "notes") . | quote }}}}
"""


@dataclass(frozen=True, slots=True)
class Helm:
    """The program. It asks no cluster."""

    program: Path

    def lint(self, *values: Path, chart: Path = CHART) -> subprocess.CompletedProcess[str]:
        """Check the chart; a warning is an error."""
        return self._run("lint", "--strict", str(chart), *_files(values))

    def render(
        self,
        *values: Path,
        sets: Sequence[str] = (),
        kubernetes: str | None = None,
        chart: Path = CHART,
        release: str = RELEASE,
    ) -> str:
        """Give the manifests of a release as text. Raises: AssertionError, with what Helm said."""
        done = self.try_render(*values, sets=sets, kubernetes=kubernetes, chart=chart, release=release)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def try_render(
        self,
        *values: Path,
        sets: Sequence[str] = (),
        kubernetes: str | None = None,
        chart: Path = CHART,
        release: str = RELEASE,
    ) -> subprocess.CompletedProcess[str]:
        """Render manifests that may be refused."""
        version = ["--kube-version", kubernetes] if kubernetes else []
        return self._run("template", release, str(chart), "-n", NAMESPACE, *version, *_files(values), *_sets(sets))

    def notes(self, *values: Path, folder: Path) -> str:
        """Give what an installation prints, which Helm shows only who has a cluster; `folder` must not be there yet."""
        shutil.copytree(CHART, folder)
        (folder / "templates" / "NOTES.txt").rename(folder / "notes")
        (folder / "templates" / "shown.yaml").write_text(_SHOWN)
        done = self._run(
            "template", RELEASE, str(folder), "-n", NAMESPACE, "-s", "templates/shown.yaml", *_files(values)
        )
        assert done.returncode == 0, done.stderr
        return str(load_yaml(done.stdout)["data"]["text"])

    def package(self, folder: Path) -> Path:
        """Make the archive of the chart."""
        done = self._run("package", str(CHART), "-d", str(folder))
        assert done.returncode == 0, done.stderr
        (archive,) = folder.glob("*.tgz")
        return archive

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.program), *arguments],
            check=False,
            capture_output=True,
            text=True,
            # Nothing of a cluster or of repositories that whoever runs the tests may have.
            env={"HOME": "/nonexistent", "KUBECONFIG": "/nonexistent"},
            timeout=TIMEOUT_SECONDS,
        )


def built_helm() -> Helm:
    """Give Helm, built if it has to be."""
    return Helm(build_helm())


def load_yaml(text: str) -> Any:
    """Read one document."""
    return ruamel.yaml.YAML(typ="safe", pure=True).load(text)


def manifests(text: str) -> list[Manifest]:
    """Read rendered manifests, in their order."""
    documents = ruamel.yaml.YAML(typ="safe", pure=True).load_all(text)
    return [document for document in documents if document is not None]


def of_kind(found: Sequence[Manifest], kind: str) -> Manifest:
    """Give the only manifest of a kind."""
    (one,) = [manifest for manifest in found if manifest["kind"] == kind]
    return one


def pod_spec(manifest: Manifest) -> Manifest:
    """Give the pod of a manifest that has one."""
    spec: Manifest = manifest["spec"]
    return spec["template"]["spec"] if "template" in spec else spec


def pods(found: Sequence[Manifest]) -> list[Manifest]:
    """Give all pods: of Deployments, Jobs, and those that are made as such."""
    return [pod_spec(manifest) for manifest in found if manifest["kind"] in {"Deployment", "Job", "Pod"}]


def _files(values: Sequence[Path]) -> list[str]:
    return [argument for path in values for argument in ("-f", str(path))]


def _sets(sets: Sequence[str]) -> list[str]:
    return [argument for one in sets for argument in ("--set-json", one)]
