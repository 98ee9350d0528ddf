"""pytest's plugin: the fixtures `scenario` and `broker`. The kit is imported when a test asks for one of them."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from worker.testing.local_broker import LocalBroker
    from worker.testing.scenario import Scenario


@pytest.fixture
def scenario() -> "type[Scenario]":
    """Begin a test of one machine: `scenario(machine).given(…).when(…).then(…)`."""
    from worker.testing.scenario import Scenario

    return Scenario


@pytest.fixture
def broker() -> "LocalBroker":
    """Give an empty in-process broker: `broker.add(machine, service)`."""
    from worker.testing.local_broker import LocalBroker

    return LocalBroker()
