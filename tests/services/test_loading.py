"""Packages of services: what is found in them, and what is wrong with them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker import Service, ServiceWorker
from worker.core.errors import SetupError
from worker.services.loading import load_services
from worker.settings import Settings

SHOP = """
from tests.services.stock import V1, V2, Take, Taken
from worker import service

@service(V1)
def take(order: Take) -> Taken: ...

again = take
not_one = 5
"""
SETTINGS = Settings(kafka_bootstrap_servers="localhost:1", database_url="postgresql://")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def test_every_service_of_a_package_is_found_once(folder: Path) -> None:
    write(folder, "found_shop/__init__.py", "from .b import take")
    write(folder, "found_shop/b.py", SHOP)
    write(folder, "found_shop/a.py", SHOP.replace("V1)", "V2)"))
    write(folder, "found_shop/test_c.py", "raise RuntimeError('tests are not looked at')")
    write(folder, "found_alone.py", SHOP)
    found = load_services(["found_shop", "found_alone", "found_shop.b"], folder)
    assert [repr(one) for one in found] == [
        "Service(com.stock.take 1.0.0)",
        "Service(com.stock.take 2.0.0)",
        "Service(com.stock.take 1.0.0)",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "The package 'faulty_shop' of `worker serve` is not found"),
        ("", "The package 'faulty_shop' has no service; a module of it must"),
        ("1 / 0", "The module 'faulty_shop' can't be imported: ZeroDivisionError"),
        (SHOP.replace("order: Take", "order: int"), "The service take of com.stock.take 1.0.0 takes `order: int`"),
    ],
)
def test_a_package_may_be_wrong(folder: Path, text: str | None, message: str) -> None:
    if text is not None:
        write(folder, "faulty_shop.py", text)
    with pytest.raises(SetupError) as refused:
        load_services(["faulty_shop"], folder)
    assert message in str(refused.value)


def test_what_is_served_is_checked(folder: Path) -> None:
    write(folder, "twice_shop.py", SHOP)
    (take,) = load_services(["twice_shop"], folder)
    for services, message in (
        ([], "There is no service to run"),
        ([take, take], "com.stock.take 1.0.0 has two services; each request has one answer"),
        ([take.contract], "Services are run, and ContractVersion"),
    ):
        with pytest.raises(SetupError, match=message):
            ServiceWorker(services, settings=SETTINGS)  # type: ignore[arg-type]


def test_brokers_that_are_not_there_are_told_of_at_once(folder: Path) -> None:
    write(folder, "lonely_shop.py", SHOP)
    served: tuple[Service[..., object], ...] = load_services(["lonely_shop"], folder)
    with pytest.raises(SetupError, match="no broker answers at localhost:1"):
        ServiceWorker(served, settings=SETTINGS).run()
