"""Helm, as a test has it."""

import pytest

from tests.helm.chart import Helm, built_helm
from tests.servers.helm import GO_REMEDY, helm_can_run


@pytest.fixture(scope="session")
def helm() -> Helm:
    """Give Helm; the first test that asks may have to wait for its build."""
    if not helm_can_run():
        pytest.fail(f"Helm can't be built here: {GO_REMEDY}", pytrace=False)
    return built_helm()
