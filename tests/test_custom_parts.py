"""Engines and registries of one's own, named by WORKER_ENGINE and WORKER_REGISTRY."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from uuid import uuid4

import pytest

from worker.bootstrap import Deployment, deploy
from worker.core.errors import SetupError
from worker.settings import load_settings

PARTS = """
from worker import Registry, SismicEngine

class Wordy:
    name = "wordy"

    def compile(self, chart):
        return SismicEngine().compile(chart)

def engine():
    return Wordy()

class Newest:
    def __init__(self, machines, engine):
        self.engine = engine
        self._registry = Registry(machines, engine)
        self.machines, self.sources = self._registry.machines, self._registry.sources

    def hosts(self, source):
        return self._registry.hosts(source)

    def resolve(self, source, version):
        return self._registry.resolve(source, "0.0.0")

def no_part():
    return object()

def fails():
    raise OSError("no such store")

def empty(machines, engine):
    return Newest2()

class Newest2(Newest):
    machines = sources = ()
    def __init__(self):
        pass

a_text = "registry"
"""

Deploy = Callable[..., Deployment]


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deploy:
    """Deploy with the parts that the settings name, `PARTS` standing for the module that has them."""
    module = f"parts_{uuid4().hex}"
    (tmp_path / f"{module}.py").write_text(dedent(PARTS))
    monkeypatch.setattr(sys, "path", sys.path.copy())

    def with_settings(**settings: str) -> Deployment:
        environment = {
            "WORKER_KAFKA_BOOTSTRAP_SERVERS": "nowhere",
            "WORKER_DATABASE_URL": "postgresql://",
            "WORKER_MACHINES": "machines.order",
        } | {f"WORKER_{name.upper()}": value.replace("PARTS", module) for name, value in settings.items()}
        return deploy(load_settings(environment, tmp_path).settings, tmp_path)

    return with_settings


def test_an_engine_of_ones_own_runs_the_machines(deployed: Deploy) -> None:
    deployment = deployed(engine="PARTS:engine", registry="PARTS:Newest")
    assert deployment.registry.engine.name == "wordy"  # type: ignore[attr-defined]


def test_a_registry_of_ones_own_finds_the_machines(deployed: Deploy) -> None:
    deployment = deployed(registry="PARTS:Newest")
    hosted = deployment.registry.resolve("arvo.orc.order", "7.7.7")
    assert hosted is not None
    assert hosted.machine.version == "1.0.0"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"engine": "fast"}, "WORKER_ENGINE: expected compiled, or sismic, or a factory as package.module:factory"),
        ({"registry": "fast"}, "WORKER_REGISTRY: expected a factory as package.module:factory"),
        ({"engine": "nowhere.at_all:engine"}, "The package 'nowhere.at_all' of WORKER_ENGINE is not found"),
        ({"engine": "PARTS:missing"}, "has no 'missing'; expected package.module:factory"),
        ({"engine": "PARTS:a_text"}, "has no function 'a_text'; expected package.module:factory"),
        ({"engine": "PARTS:no_part"}, "a object, lacks name, compile; see Engine for what each promises"),
        ({"engine": "PARTS:fails"}, "can't be made: OSError: no such store. Correct it and start again"),
        ({"engine": "PARTS:Newest"}, "can't be made: TypeError"),
        ({"registry": "PARTS:fails"}, "WORKER_REGISTRY=PARTS:fails can't be made: TypeError"),
        ({"registry": "PARTS:empty"}, "has no machine; a registry has at least one"),
    ],
)
def test_a_part_that_is_none_is_told_of(deployed: Deploy, settings: dict[str, str], told: str) -> None:
    with pytest.raises(SetupError) as failure:
        deployed(**settings)
    assert told in re.sub(r"parts_\w{32}", "PARTS", str(failure.value))
