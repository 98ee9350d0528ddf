"""Run `e2e-*.json`: orchestrators and services that answer each other until nothing is left to deliver."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.vectors.cases import Case, expect_equal
from tests.vectors.differences import VIOLATIONS, violation_of
from tests.vectors.orchestration import BuiltMachine, RecordingMemory, built_machine, orchestrator_of
from tests.vectors.scenario_vectors import check_failure, check_instance
from tests.vectors.schemas import contract_of
from tests.vectors.symbols import Symbols
from worker.core.contracts import Contract, parse_dataschema
from worker.core.errors import ArvoTransactionError, ConfigViolation
from worker.core.events import Event, event_from_json, event_to_json
from worker.core.factories import emits_event, system_error_data, system_error_event
from worker.core.subjects import decode_subject
from worker.orchestrator import Orchestrator

Json = dict[str, Any]
Answers = list[tuple[str, Json]]

DELIVERIES_MAX = 200
REFUSALS = ("ViolationError<Config>", "ViolationError<OrchestratorTransaction>")
NOT_SUCCESSFUL, NOT_WRITABLE = -100, -200


def cases(document: Json) -> Iterator[Case]:
    """Give the one case of the file."""
    yield Case("e2e", document["id"], partial(_check, document))


@dataclass
class _Service:
    """A service of the vectors; `values` is what the value services share."""

    contract: Contract
    executionunits: float
    values: dict[str, float]
    count: int = 0

    def answer(self, event: Event) -> list[Event]:
        """Do what the event asks for, and answer its sender."""
        named = parse_dataschema(event.dataschema or "")
        assert named is not None
        version = self.contract.version(named[1])
        try:
            answers = BEHAVIOURS[self.contract.type](version.version, event.data, self.values)
        except ValueError as error:
            data = system_error_data("Error", str(error), "$stack")
            attributes = self._attributes(event, version.system_error_type, data) | {"to": event.source}
            return [system_error_event(version, attributes, execution_id="")]
        return [emits_event(version, self._attributes(event, *answer), execution_id="") for answer in answers]

    def _attributes(self, event: Event, event_type: str, data: Json) -> Json:
        self.count += 1
        return {
            "id": f"{self.contract.type}-{self.count}",
            "source": self.contract.type,
            "type": event_type,
            "subject": event.subject,
            "data": data,
            "time": event.time,
            "to": event.redirectto or event.source,
            "accesscontrol": event.accesscontrol,
            "executionunits": self.executionunits,
            "parentid": event.id,
        }


def _increment(version: str, data: Mapping[str, Any], _: dict[str, float]) -> Answers:
    if version == "0.0.1":
        return [("evt.increment.number.success", {"result": data["init"] + data["increment"]})]
    result = {"result": data["init"] * data["multiplier"]}
    return [("evt.increment.number.success", result), ("evt.multiplier.number.success", result)]


def _decrement(version: str, data: Mapping[str, Any], _: dict[str, float]) -> Answers:
    result = data["init"] - data["decrement"] if version == "0.0.1" else data["init"] / data["divider"]
    return [("evt.decrement.number.success", {"result": result})]


def _read(_: str, data: Mapping[str, Any], values: dict[str, float]) -> Answers:
    if data["key"] not in values:
        raise ValueError(f"No value to find at key={data['key']}")
    return [("evt.value.read.success", {"value": values[data["key"]]})]


def _write(_: str, data: Mapping[str, Any], values: dict[str, float]) -> Answers:
    value = data["value"]
    if value == NOT_WRITABLE:
        raise ValueError(f"Invalid value is {value}.")
    values[data["key"]] = value
    return [("evt.value.write.success", {"success": value != NOT_SUCCESSFUL})]


BEHAVIOURS: dict[str, Callable[[str, Mapping[str, Any], dict[str, float]], Answers]] = {
    "com.increment.number": _increment,
    "com.decrement.number": _decrement,
    "com.value.read": _read,
    "com.value.write": _write,
}


@dataclass
class _Run:
    """Deliver until nothing is left: the events in order of publication, those for nobody here, those refused."""

    orchestrators: Mapping[str, Orchestrator]
    services: Mapping[str, _Service]
    published: list[Event] = field(default_factory=list)
    undelivered: list[Event] = field(default_factory=list)
    refused: list[Event] = field(default_factory=list)

    def deliver(self, first: Event) -> None:
        """Deliver an event and all that follows from it, the newest first."""
        self.published.append(first)
        waiting = [first]
        while waiting:
            assert len(self.published) < DELIVERIES_MAX, "the events go on for ever"
            following = self._taken(waiting.pop())
            self.published += following
            waiting += following

    def _taken(self, event: Event) -> list[Event]:
        receiver = event.to or ""
        if receiver in self.orchestrators:
            return self._executed(self.orchestrators[receiver], event)
        if receiver in self.services:
            return self.services[receiver].answer(event)
        self.undelivered.append(event)
        return []

    def _executed(self, orchestrator: Orchestrator, event: Event) -> list[Event]:
        try:
            return list(orchestrator.execute(event).domained_events["all"])
        except (ArvoTransactionError, ConfigViolation):
            self.refused.append(event)
            return []


def _check(document: Json) -> None:
    contracts = {key: contract_of(declared) for key, declared in document["contracts"].items()}
    machines = {key: built_machine(declared, contracts) for key, declared in document["machines"].items()}
    memory = RecordingMemory()
    units = document["orchestratorExecutionunits"]
    values: dict[str, float] = {}
    run = _Run(
        {name: orchestrator_of(keys, machines, memory, units) for name, keys in document["orchestrators"].items()},
        {
            name: _Service(contracts[declared["contract"]], declared["executionunits"], values)
            for name, declared in document["services"].items()
        },
    )
    run.deliver(event_from_json(document["published"][0]))
    symbols = Symbols(document["subjects"])
    matched = _check_published(document, run, symbols)
    _check_undelivered(document, run, matched)
    _check_records(document, machines, memory, symbols)


def _check_published(document: Json, run: _Run, symbols: Symbols) -> list[Event]:
    """Find each event of the reference among ours, and after them one system error for each violation."""
    left = list(run.published)
    matched = []
    for index, expected in enumerate(document["published"]):
        matched.append(_taken_out(left, symbols.put_in(expected["parentid"]), expected["type"], expected["to"]))
        symbols.expect(event_to_json(matched[-1]), expected, f"event {index} of type {expected['type']}")
    for error in document["errors"]:
        if error["name"] not in VIOLATIONS:
            continue
        cause = matched[error["event"]]
        failure = _taken_out(left, cause.id, f"sys.{cause.to}.error", document["published"][0]["source"])
        check_failure(failure.data, violation_of(error))
    expect_equal([event.type for event in left], [], "the list of events that the reference does not have")
    return matched


def _taken_out(events: list[Event], parent_id: str | None, event_type: str, receiver: str) -> Event:
    for index, event in enumerate(events):
        if (event.parentid, event.type, event.to) == (parent_id, event_type, receiver):
            return events.pop(index)
    raise AssertionError(f"no event {event_type} to {receiver} follows from {parent_id}")


def _check_undelivered(document: Json, run: _Run, matched: list[Event]) -> None:
    """Compare what goes to those who are no part of the deployment: the initiators, and whoever has no handler."""
    received = {index for indexes in document["received"].values() for index in indexes}
    unknown = {error["event"] for error in document["errors"] if error["message"].startswith("No handlers registered")}
    actual = sorted(event.id for event in run.undelivered if not event.type.startswith("sys."))
    expect_equal(actual, sorted(matched[index].id for index in received | unknown), "the list of undelivered events")
    refused = [error["event"] for error in document["errors"] if error["name"] in REFUSALS]
    # What is sent to one orchestrator in the subject of another is refused here, and ignored there.
    actual = sorted(event.id for event in run.refused if decode_subject(event.subject).name == event.to)
    expect_equal(actual, sorted(matched[index].id for index in refused), "the list of refused events")


def _check_records(
    document: Json, machines: Mapping[str, BuiltMachine], memory: RecordingMemory, symbols: Symbols
) -> None:
    for subject, record in document["records"].items():
        instance = memory.inner.read(symbols.put_in(subject))
        assert instance is not None, f"there is no record of {subject}"
        check_instance(instance, record, machines.values(), symbols)
        if "output" in record:
            symbols.expect(instance.snapshot.output, record["output"], "the output")
