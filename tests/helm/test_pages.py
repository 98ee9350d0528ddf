"""The page on Kubernetes and the chart's README: their values are rendered, their commands held against the result."""

import json
import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from tests.docs.pages import Page
from tests.helm.chart import CHART, VALUE_SETS, Helm, load_yaml, manifests, of_kind
from tests.helm.documented import documented_values
from worker.bootstrap import STOP_SECONDS

pytestmark = pytest.mark.timeout(900)

PAGE, README = Page("docs/kubernetes.md"), Page("helm/README.md")
MINIMAL = next(path for path in VALUE_SETS if path.stem == "minimal")
RELEASE = "orchestrator-worker"
HELM_COMMANDS = {"install", "upgrade", "test", "rollback", "uninstall"}
_INLINE = re.compile(r"`((?:kubectl|helm) [^`]+ [^`]+)`")
_NAMED = re.compile(r"(deployment|job)/(\S+)")


def commands(page: Page) -> list[list[str]]:
    """Give every command of the page, as words."""
    lines = [line for text in page.blocks("sh") for line in text.replace("\\\n", "").splitlines()]
    return [shlex.split(line) for line in (*lines, *_INLINE.findall(page.text.replace("\n", " ")))]


def values_of(command: list[str]) -> list[str]:
    """Give what a command sets."""
    return [value for option, value in pairwise(command) if option == "--set"]


@pytest.mark.parametrize("page", [PAGE, README], ids=str)
def test_commands_are_of_what_is_rendered(helm: Helm, page: Page) -> None:
    found = manifests(helm.render(MINIMAL, release=RELEASE))
    names = {(one["kind"].lower(), one["metadata"]["name"]) for one in found}
    programs = set()
    for command in commands(page):
        programs.add(command[0])
        assert command[0] in {"helm", "kubectl"}, command
        if command[0] == "helm":
            assert command[1] in HELM_COMMANDS
            assert command[2] == RELEASE
        assert names >= set(_NAMED.findall(" ".join(command))), command
    assert programs == {"helm", "kubectl"}


@pytest.mark.parametrize("page", [PAGE, README], ids=str)
def test_installations_need_no_more_than_they_say(helm: Helm, page: Page) -> None:
    installed = [command for command in commands(page) if command[:2] == ["helm", "install"]]
    assert installed
    for command in installed:
        sets = [
            f"{name}={json.dumps(_parsed(value))}" for name, value in (one.split("=", 1) for one in values_of(command))
        ]
        assert manifests(helm.render(sets=sets))


def _parsed(value: str) -> object:
    return {"true": True, "false": False}.get(value, value)


def test_upgrades_set_what_there_is() -> None:
    names = {value.name for value in documented_values()}
    for command in commands(PAGE):
        assert {one.partition("=")[0] for one in values_of(command)} <= names


@pytest.mark.parametrize("number", range(len(PAGE.blocks("yaml"))))
def test_values_are_taken(helm: Helm, number: int, tmp_path: Path) -> None:
    text = PAGE.blocks("yaml")[number]
    assert text.startswith("# values\n")
    (tmp_path / "values.yaml").write_text(text)
    assert manifests(helm.render(MINIMAL, tmp_path / "values.yaml")) != manifests(helm.render(MINIMAL))


def test_values_that_are_named_are_there() -> None:
    names = {value.name for value in documented_values()}
    prefixes = {".".join(name.split(".")[:-1]) for name in names} | names
    sections = {name.partition(".")[0] for name in names if "." in name}
    told = re.findall(r"`([a-z]\w*(?:\.[a-z]\w*)+)`", PAGE.text)
    assert told
    for name in told:
        if name.partition(".")[0] in sections:
            assert name in prefixes, name


def test_numbers_are_those_that_hold(helm: Helm) -> None:
    text = PAGE.text.replace("\n", " ")
    chart = load_yaml((CHART / "Chart.yaml").read_text())
    (container,) = of_kind(manifests(helm.render(MINIMAL)), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert f"Kubernetes {chart['kubeVersion'].removeprefix('>=').removesuffix('.0-0')} or newer" in text
    assert f"after {STOP_SECONDS:g} s whatever happens" in text
    assert f"port {container['ports'][0]['containerPort']}" in text
    assert f"image.tag={chart['appVersion']}" in text
