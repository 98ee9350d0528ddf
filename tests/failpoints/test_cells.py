"""The table has everything: no method, error or part of a worker is forgotten without a reason that is written down."""

import inspect
from dataclasses import fields

from tests.failpoints.cells import (
    CALLS,
    CANT_BE_DONE,
    CANT_FAIL,
    CANT_HANG,
    PORTS,
    SAFE_PARTS,
    UNCERTAIN,
    Deed,
    cells,
    documented,
    is_error,
    steps,
)
from tests.failpoints.reaching import REACHED
from worker import ports
from worker.runtime.loop import Parts


def test_every_part_of_a_worker_is_tampered_with_or_safe_for_a_reason() -> None:
    assert {one.name for one in fields(Parts)} == {*PORTS, *CALLS, *SAFE_PARTS}


def test_every_protocol_of_the_ports_is_in_the_table_or_belongs_to_a_safe_part() -> None:
    protocols = {
        name
        for name, one in inspect.getmembers(ports, inspect.isclass)
        if getattr(one, "_is_protocol", False) and one.__module__ == ports.__name__
    }
    known = {protocol.__name__ for protocols_ in PORTS.values() for protocol in protocols_}
    # Told by the consumer, opaque, served by the process itself, or looking on.
    assert protocols - known == {
        "Rebalances",
        "Membership",
        "Pending",
        "Background",
        "Clock",
        "Observer",
        "StepTracer",
        "StepTrace",
    }


def test_every_call_can_be_reached() -> None:
    assert {step.name for step in steps()} == REACHED.keys()


def test_calls_that_can_not_fail_say_why() -> None:
    assert {step.name for step in steps() if not step.raises} == CANT_FAIL.keys()


def test_reasons_are_for_calls_that_are_there() -> None:
    names = {step.name for step in steps()}
    assert CANT_HANG.keys() | CANT_BE_DONE.keys() <= names


def test_every_error_of_the_ports_is_raised_by_some_call() -> None:
    errors = {name for name in vars(ports) if is_error(name)}
    documented_ = {error for step in steps() for error in step.raises}
    # What no port names: a statement that PostgreSQL refuses ends the worker wherever it is.
    assert errors - documented_ == {"DatabaseRefused"}


def test_the_parts_name_what_their_calls_raise() -> None:
    for raises in CALLS.values():
        assert all(name in (Parts.__doc__ or "") for name in raises)


def test_docstrings_are_read() -> None:
    def documented_call() -> None:
        """Do. Raises: DatabaseUnavailable, PositionMoved; then KafkaFatal is another's."""

    assert documented(documented_call) == ("DatabaseUnavailable", "PositionMoved")


def test_cells_have_names_of_their_own() -> None:
    names = [cell.name for cell in cells()]
    assert len(set(names)) == len(names)
    assert "Publisher.commit fails-though-done PublicationUnknown" in names


def test_every_call_is_killed_before_and_after_and_each_error_is_raised() -> None:
    for step in steps():
        deeds = [(cell.deed, cell.error) for cell in cells() if cell.step == step]
        assert {(Deed.KILLED_BEFORE, None), (Deed.KILLED_AFTER, None)} <= set(deeds)
        assert {error for deed, error in deeds if deed is Deed.FAILS} == set(step.raises)
        late = {error for deed, error in deeds if deed is Deed.FAILS_THOUGH_DONE}
        assert late == (set() if step.name in CANT_BE_DONE else set(step.raises) & set(UNCERTAIN))
