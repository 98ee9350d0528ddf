"""What the chart renders: that Kubernetes takes it, and what must hold whatever the values are."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from tests.helm.chart import CHART, NAMESPACE, RELEASE, VALUE_SETS, Helm, Manifest, load_yaml, manifests, of_kind, pods
from tests.helm.containers import environment
from tests.helm.custom_resources import SCHEMAS
from worker.settings import load_settings

pytestmark = pytest.mark.timeout(900)

RELEASES = ("1.27", "1.32", "1.37")
"""The first that Chart.yaml allows, the newest that kubernetes-validate knows, and one between."""

MINIMAL = next(path for path in VALUE_SETS if path.stem == "minimal")


@pytest.fixture(scope="module")
def rendered(helm: Helm) -> dict[str, list[Manifest]]:
    """Give the manifests of every set of values."""
    return {path.stem: manifests(helm.render(path)) for path in VALUE_SETS}


def everything(rendered: dict[str, list[Manifest]]) -> list[Manifest]:
    """Give each manifest once: sets share many."""
    return list({json.dumps(one, sort_keys=True): one for found in rendered.values() for one in found}.values())


def assert_taken(manifest: Manifest, kubernetes: str) -> None:
    if manifest["kind"] in SCHEMAS:
        jsonschema.validate(manifest, SCHEMAS[manifest["kind"]])
    else:
        kubernetes_validate.validate(manifest, kubernetes, strict=True)


@pytest.mark.parametrize("values", VALUE_SETS, ids=lambda path: path.stem)
def test_lint_finds_nothing(helm: Helm, values: Path) -> None:
    done = helm.lint(values)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kubernetes", RELEASES)
def test_kubernetes_takes_every_manifest(rendered: dict[str, list[Manifest]], kubernetes: str) -> None:
    for manifest in everything(rendered):
        assert_taken(manifest, kubernetes)


def test_kubernetes_would_refuse_what_is_wrong(rendered: dict[str, list[Manifest]]) -> None:
    for manifest in everything(rendered):
        if "spec" in manifest:
            with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
                assert_taken(manifest | {"spec": manifest["spec"] | {"mispelt": 1}}, RELEASES[-1])


def test_releases_render_alike(helm: Helm, rendered: dict[str, list[Manifest]]) -> None:
    first, newest = RELEASES[0], RELEASES[-1]
    assert load_yaml((CHART / "Chart.yaml").read_text())["kubeVersion"] == f">={first}.0-0"
    assert kubernetes_validate.latest_version() == f"{newest}.0"
    assert helm.render(MINIMAL, kubernetes=first) == helm.render(MINIMAL, kubernetes=newest)
    assert "incompatible" in helm.try_render(MINIMAL, kubernetes="1.26").stderr


def test_all_kinds_are_there(rendered: dict[str, list[Manifest]]) -> None:
    assert {manifest["kind"] for manifest in everything(rendered)} == {
        "ConfigMap",
        "Deployment",
        "HorizontalPodAutoscaler",
        "Job",
        "NetworkPolicy",
        "Pod",
        "PodDisruptionBudget",
        "PrometheusRule",
        "ScaledObject",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
        "TriggerAuthentication",
    }


def test_all_is_found_by_its_labels(rendered: dict[str, list[Manifest]]) -> None:
    for found in rendered.values():
        names = [(one["kind"], one["metadata"]["name"]) for one in found]
        assert len(names) == len(set(names))
        for manifest in found:
            assert manifest["metadata"]["labels"]["app.kubernetes.io/instance"] == RELEASE
        pod = of_kind(found, "Deployment")["spec"]["template"]["metadata"]["labels"]
        for selector in selectors(found):
            assert selector.items() <= pod.items()


def selectors(found: list[Manifest]) -> Iterator[dict[str, str]]:
    """Give whatever is to find the workers' pods."""
    spec = of_kind(found, "Deployment")["spec"]
    yield spec["selector"]["matchLabels"]
    yield of_kind(found, "Service")["spec"]["selector"]
    for constraint in spec["template"]["spec"].get("topologySpreadConstraints", []):
        yield constraint["labelSelector"]["matchLabels"]
    for manifest in found:
        if manifest["kind"] == "PodDisruptionBudget":
            yield manifest["spec"]["selector"]["matchLabels"]


def test_pods_are_restricted(rendered: dict[str, list[Manifest]]) -> None:
    """Hold every pod against the restricted Pod Security Standard, and a little more."""
    for spec in (spec for found in rendered.values() for spec in pods(found)):
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 10_001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is spec["enableServiceLinks"] is False
        assert {kind for volume in spec["volumes"] for kind in volume} <= {"name", "configMap", "secret", "emptyDir"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {mount["name"] for mount in container["volumeMounts"]} == {
                volume["name"] for volume in spec["volumes"]
            }


def test_the_worker_takes_every_environment(rendered: dict[str, list[Manifest]], tmp_path: Path) -> None:
    for name, found in rendered.items():
        given = environment(pods(found)[0]["containers"][0], AnySecret())
        for spec in pods(found):
            (container,) = spec["containers"]
            names = [variable["name"] for variable in container["env"]]
            assert len(names) == len(set(names)), name
            # What the migrations need not know, the worker's pod has.
            load_settings(given | environment(container, AnySecret()), tmp_path)


class AnySecret(dict[str, dict[str, str]]):
    """Stands for all Secrets: each has every key."""

    def __missing__(self, name: str) -> Any:
        return _AnyKey()


class _AnyKey(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "postgresql://user:secret@database/orchestrator"


def test_settings_arrive(rendered: dict[str, list[Manifest]], tmp_path: Path) -> None:
    settings = {
        name: load_settings(
            environment(of_kind(found, "Deployment")["spec"]["template"]["spec"]["containers"][0], AnySecret()),
            tmp_path,
        ).settings
        for name, found in rendered.items()
    }
    assert settings["minimal"].http_port == 8080
    assert settings["minimal"].machines == ("machines",)
    assert settings["machines"].machines == ("shop.machines", "machines.stock_keeping", "machines.hello")
    assert settings["machines"].create_topics is True
    assert (settings["hpa"].batch_bytes_max, settings["hpa"].step_timeout_seconds) == (8_388_608, 2.5)
    assert settings["keda"].kafka_properties == {
        "client.rack": "eu-1",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.password": AnySecret()["any"]["any"],
        "sasl.username": "orchestrator",
        "security.protocol": "SASL_SSL",
        "session.timeout.ms": "10000",
        "ssl.ca.location": "/etc/worker/kafka-tls/ca.crt",
        "ssl.certificate.location": "/etc/worker/kafka-tls/tls.crt",
        "ssl.key.location": "/etc/worker/kafka-tls/tls.key",
    }


@pytest.mark.parametrize(
    ("values", "replicas", "strategy"),
    [
        ("minimal", 2, {"maxSurge": 1, "maxUnavailable": 0}),
        ("bare", 1, {"maxSurge": 0, "maxUnavailable": 1}),
        ("hpa", None, {"maxSurge": 0, "maxUnavailable": 1}),
        ("keda", None, {"maxSurge": 4, "maxUnavailable": 0}),
    ],
)
def test_a_roll_out_never_makes_more_workers_than_partitions(
    rendered: dict[str, list[Manifest]], values: str, replicas: int | None, strategy: dict[str, int]
) -> None:
    spec = of_kind(rendered[values], "Deployment")["spec"]
    assert spec.get("replicas") == replicas
    assert spec["strategy"]["rollingUpdate"] == strategy


def test_autoscalers_are_capped(rendered: dict[str, list[Manifest]]) -> None:
    assert of_kind(rendered["hpa"], "HorizontalPodAutoscaler")["spec"]["maxReplicas"] == 4
    scaled = of_kind(rendered["keda"], "ScaledObject")["spec"]
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (0, 16)
    (trigger,) = scaled["triggers"]
    settings = {"topic": "shop.input", "consumerGroup": "shop-workers", "lagThreshold": "5000000"}
    assert settings.items() <= trigger["metadata"].items()
    assert (
        trigger["authenticationRef"]["name"] == of_kind(rendered["keda"], "TriggerAuthentication")["metadata"]["name"]
    )


def test_migrations_need_nothing_that_comes_after_them(rendered: dict[str, list[Manifest]]) -> None:
    found = rendered["locked-down"]
    hooks = [one for one in found if "pre-install" in one["metadata"].get("annotations", {}).get("helm.sh/hook", "")]
    assert [one["kind"] for one in hooks].count("Job") == 1
    job = of_kind(hooks, "Job")
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == of_kind(hooks, "ServiceAccount")["metadata"]["name"]
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert of_kind(hooks, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    weights = {one["kind"]: int(one["metadata"]["annotations"]["helm.sh/hook-weight"]) for one in hooks}
    assert max(weights, key=weights.__getitem__) == "Job"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (url,) = [one for one in container["env"] if one["name"] == "WORKER_DATABASE_URL"]
    assert url["valueFrom"]["secretKeyRef"] == {"name": "owner-database", "key": "owner-url"}


def test_no_secret_is_made_or_written(rendered: dict[str, list[Manifest]]) -> None:
    """Secrets are referred to: nothing that Helm stores of a release has one."""
    for found in rendered.values():
        assert "Secret" not in {manifest["kind"] for manifest in found}


def test_the_copies_arrive_whole(rendered: dict[str, list[Manifest]]) -> None:
    alerts = CHART / "files" / "alerts.yaml"
    assert of_kind(rendered["monitored"], "PrometheusRule")["spec"] == load_yaml(alerts.read_text())
    assert of_kind(rendered["bare"], "ConfigMap")["data"] == {"alerts.yaml": alerts.read_text()}
    dashboard = of_kind(rendered["monitored"], "ConfigMap")["data"]["orchestrator.json"]
    assert json.loads(dashboard) == json.loads((CHART / "files" / "dashboard.json").read_text())


def test_a_packed_chart_renders_the_same(helm: Helm, rendered: dict[str, list[Manifest]], tmp_path: Path) -> None:
    values = next(path for path in VALUE_SETS if path.stem == "monitored")
    assert manifests(helm.render(values, chart=helm.package(tmp_path))) == rendered["monitored"]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            "minimal",
            [
                "with 2 workers",
                f"rollout status deployment/{RELEASE}-orchestrator-worker -n {NAMESPACE}",
                "helm test shop",
            ],
        ),
        ("keda", ["0 to 16 workers, by keda", "shop.input"]),
        ("bare", ["run `worker migrate`"]),
    ],
)
def test_the_notes_tell_the_next_command(helm: Helm, values: str, told: list[str], tmp_path: Path) -> None:
    notes = helm.notes(next(path for path in VALUE_SETS if path.stem == values), folder=tmp_path / "chart")
    for text in told:
        assert text in notes
    assert ("helm test" in notes) == (values != "bare")
