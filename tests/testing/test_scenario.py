"""Given, when, then: what is sent, what is asked, and what a failed test says."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from textwrap import dedent

import pytest

from machines.order import machine as order
from tests.core.engine.charts import chart_text
from tests.core.lab import SHIP, lab_contract, lab_machine, one_contract
from tests.testing.parcels import LABEL, parcel
from worker import SetupError, setup_machine
from worker.core.outcomes import Advanced, DeadLettered
from worker.testing import STARTS_AT, Run, Scenario

RESERVED = "evt.inventory.reserve.success"
APPROVED = "evt.approval.request.success"
CHARGED = "evt.payment.charge.success"


def started() -> Run:
    return Scenario(order).given(order_id="A-1", amount=40)


def approving() -> Run:
    return started().when(RESERVED, total=80, warehouse="Utrecht")


def test_a_workflow_from_its_start_to_its_end() -> None:
    run = started()
    run.then(state="reserving", emitted=["com.inventory.reserve"])
    run.when(RESERVED, total=80, warehouse="Utrecht")
    run.then(state="approving", emitted=[("com.approval.request", {"amount": 40})], context={"total": 80})
    run.then_emitted("com.approval.request", {"order_id": "A-1"}, domains=["external"], to="com.approval.request")
    run.then_emitted("com.approval.request", domains="external")
    run.when(APPROVED, approved=True, by="Grace").then(state="charging")
    run.when(CHARGED, charge_id="c-1")
    run.then(state="completed", emitted=[])
    run.then_completed(status="completed", total=80).then_completed({"charge_id": "c-1"})
    assert run.completion is not None
    assert run.completion.to == "com.example.test"


def test_what_a_run_shows() -> None:
    run = approving()
    assert run.state == ("order", "approving")
    assert run.context["warehouse"] == "Utrecht"
    assert [event.type for event in run.emitted] == ["com.approval.request"]
    assert run.completion is None
    assert isinstance(run.outcome, Advanced)
    assert run.instance is not None
    assert run.instance.subject == run.subject
    assert [step.event.type for step in run.steps] == [order.source, RESERVED]
    assert repr(run) == "<Run of arvo.orc.order 1.0.0 in approving>"


def test_data_may_be_a_mapping_with_names_that_python_does_not_have() -> None:
    run = Scenario(order).given({"order_id": "A-1"}, amount=40)
    run.when(RESERVED, {"total": 80}, warehouse="Utrecht").then_context({"total": 80}, warehouse="Utrecht")


def test_an_answer_has_what_a_service_gives_it() -> None:
    run = started()
    event = run.event(RESERVED, total=80, warehouse="Utrecht")
    assert (event.source, event.to, event.subject) == ("com.inventory.reserve", order.source, run.subject)
    assert (event.parentid, event.dataschema) == (run.emitted[0].id, "#/services/inventory/1.0.0")
    error = run.event("sys.com.inventory.reserve.error", {})
    assert error.dataschema == "#/services/inventory/0.0.0"


def test_a_childs_answer_comes_in_the_parents_subject() -> None:
    run = Scenario(parcel()).given(city="Oslo")
    assert run.emitted[0].subject != run.subject
    run.when(f"{LABEL}.done", label="<Oslo>").then(state="sending").then_emitted(
        "com.parcel.send", domains=["carriers"]
    )


def test_an_answer_that_nobody_asked_for_comes_in_the_instances_subject() -> None:
    run = started()
    event = run.event(CHARGED, charge_id="c-1")
    assert (event.subject, event.to, event.parentid) == (run.subject, order.source, run.steps[0].event.id)
    child = Scenario(parcel()).given({"parentSubject$$": run.subject}, city="Oslo").given_state("sending")
    assert child.event(f"{LABEL}.done", label="<Oslo>").subject == child.subject


def test_a_child_that_was_not_told_of_its_parent_does_not_answer_it() -> None:
    run = Scenario(lab_machine(f'emit("{SHIP}", {{"parentSubject$$": None}})')).given()
    run.when(f"{SHIP}.done")
    with pytest.raises(
        AssertionError, match=r"ship.done was not taken: ignored: its subject is another orchestrator's"
    ):
        run.then()


def test_a_service_that_fails() -> None:
    run = started().when_error("com.inventory.reserve", "no power")
    run.then_completed(status="failed", reason="no power")


def test_an_event_may_be_sent_as_it_is() -> None:
    run = started()
    event = replace(run.event(RESERVED, total=80, warehouse="Utrecht"), dataschema="#/services/inventory/9.0.0")
    run.when_event(event).then_failed("ContractViolation", "version mismatch").then(state="reserving")


def test_time_is_the_tests() -> None:
    run = Scenario(parcel()).given(city="Oslo")
    assert run.now == STARTS_AT
    run.advance(timedelta(hours=1)).when(f"{LABEL}.done", label="<Oslo>")
    run.then_context(sent_at="2026-01-01T13:00:00+00:00")
    assert run.emitted[0].time == "2026-01-01T13:00:00.000+00:00"
    with pytest.raises(ValueError, match="only passes"):
        run.advance(timedelta(seconds=-1))


# What was not taken


def test_data_that_breaks_the_contract() -> None:
    run = approving().when(APPROVED, approved="yes", by="Grace")
    run.then_failed().then_failed("ContractViolation").then_failed("ContractViolation", "approved")
    run.then(state="approving", emitted=[])


def test_a_start_that_fails() -> None:
    run = Scenario(order).given(order_id="A-1", amount=-1)
    run.then_failed("ContractViolation", "amount")
    assert run.instance is None
    assert (run.state, run.context) == ((), {})
    assert "did not start" in run.report()


def test_a_function_that_raises() -> None:
    run = Scenario(lab_machine()).given().when("evt.one.call.success", y=13)
    run.then_failed("ArithmeticError", "13 brings bad luck").when("evt.one.call.success", y=1).then_completed(result=1)


def test_an_event_that_nothing_waits_for() -> None:
    approving().when(CHARGED, charge_id="c-1").then_unexpected().then(state="approving", emitted=[])


def test_an_event_that_comes_twice() -> None:
    run = approving().redeliver()
    run.then_duplicate().then(state="approving", emitted=[], context={"visited": ["reserving", "approving"]})


def test_an_event_that_comes_too_late() -> None:
    run = started().when("evt.inventory.reserve.failure", reason="sold out").then_completed()
    run.when(RESERVED, total=80, warehouse="Utrecht").then_ignored()


def test_a_second_start() -> None:
    run = approving().when(order.source, order_id="A-1", amount=40)
    run.then_dead_letter().then_dead_letter("ALREADY_STARTED").then(state="approving")
    assert isinstance(run.outcome, DeadLettered)


GOING_ON: list[Callable[[Run], object]] = [
    lambda run: run.then(),
    lambda run: run.then(state="approving"),
    lambda run: run.then_emitted("com.approval.request"),
    lambda run: run.then_context(total=80),
    lambda run: run.then_waits_for(APPROVED),
    lambda run: run.then_completed(),
    lambda run: run.when(APPROVED, approved=True, by="Grace"),
    lambda run: run.redeliver(),
    lambda run: run.given_state("charging"),
]


@pytest.mark.parametrize("go_on", GOING_ON)
def test_what_was_not_taken_has_to_be_asked_about(go_on: Callable[[Run], object]) -> None:
    run = approving().when(CHARGED, charge_id="c-1")
    with pytest.raises(AssertionError, match=f"^{CHARGED} was not taken: nothing waited for it"):
        go_on(run)


# In the middle


def test_a_run_may_begin_in_the_middle() -> None:
    run = started().given_state("charging", total=80, warehouse="Utrecht")
    run.then(state="charging", emitted=[], context={"total": 80, "visited": ["reserving"]})
    run.when("evt.payment.charge.declined", reason="no cover").then_completed(status="failed", total=80)
    assert 'put into charging by the test, with {"total":80,"warehouse":"Utrecht"}' in run.report()


REGIONS = chart_text(
    """
    initial: both
    states:
      - name: both
        parallel states:
          - name: left
            initial: left one
            states:
              - name: left one
                transitions:
                  - event: evt.one.call.success
                    target: left two
              - name: left two
          - name: right
            initial: right one
            states:
              - name: right one
                transitions:
                  - event: evt.one.call.later
                    target: back
              - name: right two
                transitions:
                  - event: evt.one.call.later
                    target: back
              - name: back
                type: shallow history
                memory: right one
        transitions:
          - event: sys.com.one.call.error
            target: end
      - name: end
        type: final
      - name: open
        states:
          - name: inside
    """,
    "result = 0",
)


def regions() -> Run:
    machine = setup_machine(
        contract=lab_contract.version("1.0.0"), services=[one_contract.version("1.0.0")], statechart=REGIONS
    )
    return Scenario(machine).given()


def test_what_is_not_named_is_where_it_begins() -> None:
    run = regions().given_state("left two")
    assert run.state == ("root", "both", "left", "right", "left two", "right one")
    assert regions().given_state("both").state[-2:] == ("left one", "right one")
    both = regions().given_state("right two", "left two")
    both.then(state={"left two", "right two"})
    both.when("evt.one.call.later", y=1).then(state=["left two", "right one"])


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["lefd two"], "no state 'lefd two' (did you mean 'left two'?)"),
        (["back"], "'back' is a history state"),
        (["end"], "'end' ends the chart"),
        (["left one", "left two"], "can't be in 'left one' and 'left two' at once: 'left' has one"),
        (["left one", "open"], "can't be in 'both' and 'open' at once"),
        (["open"], "'open' has no initial state to begin in; name one of its states: inside"),
    ],
)
def test_states_that_a_chart_can_not_be_in(names: list[str], text: str) -> None:
    with pytest.raises(SetupError) as caught:
        regions().given_state(*names)
    assert text in str(caught.value)


def test_a_context_that_a_chart_can_not_have() -> None:
    with pytest.raises(SetupError, match=r"no context variable 'totl' \(did you mean 'total'\?\)"):
        started().given_state("charging", totl=1)
    with pytest.raises(SetupError, match="'total' can't be stored: a number is not finite"):
        started().given_state("charging", total=float("nan"))


def test_conditions_remember_what_the_test_gave() -> None:
    chart = chart_text(
        """
        initial: w
        states:
          - name: w
            contract:
              - after: result == __old__.result
            transitions:
              - event: evt.one.call.success
                target: end
          - name: end
            type: final
        """,
        "result = 0",
    )
    machine = setup_machine(
        contract=lab_contract.version("1.0.0"), services=[one_contract.version("1.0.0")], statechart=chart
    )
    run = Scenario(machine).given().given_state("w", result=5)
    run.when("evt.one.call.success", y=1).then_completed()


# Wrong use


def test_a_scenario_is_of_a_machine() -> None:
    with pytest.raises(SetupError, match="A scenario is of one machine, not of a ContractVersion"):
        Scenario(order.contract)  # type: ignore[arg-type]


def test_replies_and_services_that_there_are_not() -> None:
    with pytest.raises(
        SetupError, match=r"'evt.inventory.reserve.succes' \(did you mean 'evt.inventory.reserve.success'"
    ):
        started().when("evt.inventory.reserve.succes", total=80)
    with pytest.raises(SetupError, match=r"calls no service 'com.payment.charged' \(did you mean 'com.payment.charge'"):
        started().when_error("com.payment.charged", "no power")
    with pytest.raises(SetupError, match=r"no state 'aproving' \(did you mean 'approving'\?\)"):
        started().then(state="aproving")


# What a failed test says

FAILURES: list[tuple[Callable[[], object], str]] = [
    (
        lambda: approving().then(state="charging"),
        "Expected in charging; it is in approving.",
    ),
    (
        lambda: approving().then(emitted=["com.payment.charge"]),
        """\
        Expected to emit com.payment.charge.
            emitted: [external] com.approval.request {"order_id":"A-1","amount":40}""",
    ),
    (
        lambda: approving().then(emitted=[]),
        """\
        Expected to emit nothing.
            emitted: [external] com.approval.request {"order_id":"A-1","amount":40}""",
    ),
    (
        lambda: approving().when(APPROVED, approved=False, by="Grace").then(emitted=["com.payment.charge"]),
        """\
        Expected to emit com.payment.charge.
            emitted: nothing""",
    ),
    (
        lambda: approving().then(emitted=[("com.approval.request", {"amount": 41, "order": "A-1"})]),
        """\
        com.approval.request was emitted, but not as expected:
            amount: expected 41, got 40
            order: expected "A-1", and there is none (did you mean 'order_id'?)""",
    ),
    (
        lambda: approving().then_emitted("com.approval.request", domains=["default"], to="com.some.body", amount=True),
        """\
        com.approval.request was emitted, but not as expected:
            amount: expected true, got 40
            domains: expected default, got external
            to: expected com.some.body, got com.approval.request""",
    ),
    (
        lambda: approving().then_emitted("com.aproval.request"),
        """\
        com.aproval.request was not emitted (did you mean 'com.approval.request'?).
            emitted: [external] com.approval.request {"order_id":"A-1","amount":40}""",
    ),
    (
        lambda: approving().then_context(totl=80, warehouse="Delft"),
        """\
        The context is not as expected:
            totl: expected 80, and there is none (did you mean 'total'?)
            warehouse: expected "Delft", got "Utrecht\"""",
    ),
    (
        lambda: approving().then_waits_for(CHARGED),
        "Nothing waits for evt.payment.charge.success.",
    ),
    (
        lambda: approving().then_completed(),
        "The workflow did not complete with this event.",
    ),
    (
        lambda: started().when_error("com.inventory.reserve", "no power").then_completed(status="completed"),
        """\
        The workflow completed, but not as expected:
            status: expected "completed", got "failed\"""",
    ),
    (
        lambda: approving().then_failed(),
        "Expected evt.inventory.reserve.success to fail: reserving → approving.",
    ),
    (
        lambda: approving().when(APPROVED, approved=1, by="Grace").then_failed("ValueError"),
        """\
        The event failed, with ContractViolation; expected ValueError.
            Input validation failed - Event data does not meet contract requirements: The data does not fit Approval: \
approved: Input should be a valid boolean.""",
    ),
    (
        lambda: approving().when(APPROVED, approved=1, by="Grace").then_failed(message="luck"),
        """\
        The event failed, with another message:
            expected 'luck' in it
            Input validation failed - Event data does not meet contract requirements: The data does not fit Approval: \
approved: Input should be a valid boolean.""",
    ),
    (
        lambda: approving().then_unexpected(),
        "Expected evt.inventory.reserve.success to be unexpected: reserving → approving.",
    ),
    (
        lambda: approving().when(CHARGED, charge_id="c-1").then_duplicate(),
        """\
        Expected evt.payment.charge.success to be dropped as a duplicate: nothing waited for it \
(but for evt.approval.request.success, sys.com.approval.request.error).""",
    ),
    (
        lambda: approving().redeliver().then_ignored(),
        "Expected evt.inventory.reserve.success to be ignored: dropped: it was consumed before.",
    ),
    (
        lambda: approving().then_dead_letter(),
        "Expected evt.inventory.reserve.success to become a dead letter: reserving → approving.",
    ),
    (
        lambda: approving().when(order.source, order_id="A-1", amount=40).then_dead_letter("NO_INSTANCE"),
        "The event became a dead letter ALREADY_STARTED; expected NO_INSTANCE.",
    ),
]


@pytest.mark.parametrize(("fails", "text"), FAILURES)
def test_what_a_failed_test_says_first(fails: Callable[[], object], text: str) -> None:
    with pytest.raises(AssertionError) as caught:
        fails()
    head, _, report = str(caught.value).partition("\n\n")
    assert head == dedent(text)
    assert report.startswith("  arvo.orc.order 1.0.0\n")


REPORT = """\
  arvo.orc.order 1.0.0
    stands in  charging
    waits for  evt.payment.charge.declined, evt.payment.charge.success, sys.com.payment.charge.error
    context    {"amount":40,"approved_by":"Grace","charge_id":null,"currency":"EUR","customer":"","items":[],\
"order_id":"A-1","reason":null,"total":80,"visited":["reserving","approving","charging"],"warehouse":"Utrecht"}
  What happened:
    1. arvo.orc.order {"order_id":"A-1","amount":40}
       start → order → reserving
       + [default] com.inventory.reserve {"order_id":"A-1","items":[]}
    2. evt.inventory.reserve.success {"total":80,"warehouse":"Utrecht"}
       reserving → approving
       + [external] com.approval.request {"order_id":"A-1","amount":40}
    3. evt.payment.charge.success {"charge_id":"c-1"}
       nothing waited for it (but for evt.approval.request.success, sys.com.approval.request.error)
    4. evt.approval.request.success {"approved":true,"by":"Grace"}
       approving → charging
       + [default] com.payment.charge {"order_id":"A-1","amount":80}"""


def test_what_a_failed_test_says_of_what_happened() -> None:
    run = approving().when(CHARGED, charge_id="c-1").then_unexpected().when(APPROVED, approved=True, by="Grace")
    assert run.report() == REPORT


def test_a_long_story_is_cut_at_its_beginning() -> None:
    run = started()
    for number in range(25):
        run.when(CHARGED, charge_id=f"c-{number}").then_unexpected()
    report = run.report()
    assert '"c-0"' not in report
    assert "    26. evt.payment.charge.success" in report
