import pytest

from tests.core.test_machines import CHART, Empty, Named, orchestrator
from worker.core.contracts import create_orchestrator_contract
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.errors import SetupError
from worker.core.machines import Machine, setup_machine
from worker.core.registry import Registry


def machine(version: str = "1.0.0", name: str = "a", uri: str = "") -> Machine:
    contract = create_orchestrator_contract(
        uri=uri or f"#/orc/{name}", name=name, versions={version: {"init": Named, "complete": Empty}}
    )
    return setup_machine(contract=contract.version(version), statechart=CHART)


def registry(*machines: Machine) -> Registry:
    return Registry(machines, SismicEngine())


def test_finds_machines_by_source_and_version() -> None:
    first, second, other = machine("1.0.0"), machine("2.0.0"), machine("1.0.0", "b")
    found = registry(second, other, first)
    assert found.sources == ("arvo.orc.a", "arvo.orc.b")
    assert found.machines == (second, other, first)
    assert set(found.versions("arvo.orc.a")) == {"1.0.0", "2.0.0"}
    for expected in (first, second, other):
        hosted = found.resolve(expected.source, expected.version)
        assert hosted is not None
        assert hosted.machine is expected


def test_the_wildcard_is_the_newest_by_number() -> None:
    hosted = registry(machine("10.0.0"), machine("9.9.9"), machine("2.0.0")).resolve("arvo.orc.a", "0.0.0")
    assert hosted is not None
    assert hosted.machine.version == "10.0.0"


def test_what_is_not_there_is_none() -> None:
    found = registry(machine())
    assert found.hosts("arvo.orc.a")
    assert not found.hosts("arvo.orc.b")
    assert found.resolve("arvo.orc.a", "3.0.0") is None
    assert found.resolve("arvo.orc.b", "0.0.0") is None
    assert found.versions("arvo.orc.b") == {}


def test_refuses_no_machines() -> None:
    with pytest.raises(SetupError, match="At least one machine must be provided"):
        registry()


def test_refuses_one_version_twice() -> None:
    with pytest.raises(SetupError, match=r"arvo\.orc\.a has two machines of version 1\.0\.0"):
        registry(machine(), machine())


def test_refuses_versions_of_two_contracts() -> None:
    with pytest.raises(SetupError, match="machines of two contracts, '#/orc/a' and '#/orc/z'"):
        registry(machine("1.0.0"), machine("2.0.0", uri="#/orc/z"))


def test_two_versions_of_one_contract_stand_side_by_side() -> None:
    contract = orchestrator()
    both = [setup_machine(contract=contract.version(v), statechart=CHART) for v in ("1.0.0", "2.0.0")]
    assert registry(*both).machines == tuple(both)
