"""The plugin as a user meets it: fixtures by name, and a failed test that tells at once what is wrong."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 60


def outcome_of(folder: Path, test: str) -> str:
    """Run a user's test file in a process of its own, and give what pytest prints."""
    (folder / "test_order.py").write_text("from machines.order import machine\n\n" + dedent(test), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "worker.testing.plugin", "-p", "no:cacheprovider", str(folder)],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=TIMEOUT_SECONDS,
    )
    return done.stdout + done.stderr


def test_the_fixtures_are_there(tmp_path: Path) -> None:
    printed = outcome_of(
        tmp_path,
        """
        def test_refused(scenario):
            run = scenario(machine).given(order_id="A-1", amount=40)
            run.when("evt.inventory.reserve.failure", reason="sold out")
            run.then_completed(status="failed", reason="sold out")

        def test_waits(broker):
            broker.add(machine)
            broker.start(machine, order_id="A-1", amount=40)
            assert [event.type for event in broker.waiting()] == ["com.inventory.reserve"]

        def test_alone(broker):
            assert broker.published == ()
        """,
    )
    assert "3 passed" in printed


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ('run.then(state="charging")', "Expected in charging; it is in approving."),
        ('run.then_emitted("com.approval.request", amount=41)', "    amount: expected 41, got 40"),
        ('run.when("evt.payment.charge.success", charge_id="c").then()', "evt.payment.charge.success was not taken: "),
    ],
)
def test_a_failed_test_shows_the_users_line_and_no_code_of_the_kit(tmp_path: Path, wrong: str, text: str) -> None:
    printed = outcome_of(
        tmp_path,
        f"""
        def test_wrong(scenario):
            run = scenario(machine).given(order_id="A-1", amount=40)
            run.when("evt.inventory.reserve.success", total=80, warehouse="Utrecht")
            {wrong}
        """,
    )
    assert f">       {wrong}" in printed
    assert text in printed
    assert "    2. evt.inventory.reserve.success" in printed
    assert "worker/testing" not in printed


def test_a_workflow_that_does_not_complete_shows_where_it_stands(tmp_path: Path) -> None:
    printed = outcome_of(
        tmp_path,
        """
        def test_wrong(broker):
            broker.add(machine)
            broker.completion(broker.start(machine, order_id="A-1", amount=40))
        """,
    )
    assert "AssertionError: The workflow did not complete." in printed
    assert "It stands in reserving" in printed
    assert "worker/testing" not in printed
