"""Run `scenario-*.json`: the steps of real orchestrators."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from tests.vectors.cases import Case, expect_equal, expect_refused
from tests.vectors.differences import Expected, Failure, Refusal, Situation, expected_here, here_visible
from tests.vectors.orchestration import BuiltMachine, Deployment, RecordingMemory, deployment_of
from tests.vectors.symbols import Symbols
from worker.core.domains import DEFAULT_DOMAIN
from worker.core.errors import ArvoTransactionError, InvalidDataError, InvalidSubjectError, SetupError
from worker.core.events import Event, event_from_json, event_to_json
from worker.core.instances import Instance, Status
from worker.core.machines import Machine
from worker.core.subjects import decode_subject, encode_subject
from worker.core.versions import WILDCARD_VERSION, version_key
from worker.orchestrator import ExecutionResult, Orchestrator

Json = dict[str, Any]

# The reference keeps its own queue in the context.
REFERENCE_CONTEXT_KEY = "arvo$$"
EMISSION_RANKS = {"emit": 0, "enqueueArvoEvent": 1}


def cases(document: Json) -> Iterator[Case]:
    """Give the one case of the file."""
    yield Case("scenario", document["id"], partial(_check_scenario, document))


def _check_scenario(document: Json) -> None:
    if _has_ambiguous_replies(document):
        expect_refused(lambda: deployment_of(document), SetupError)
        return
    scenario = _Scenario(document, deployment_of(document))
    scenario.check_orchestrators()
    for step in document["steps"]:
        try:
            scenario.check(step)
        except AssertionError as error:
            raise AssertionError(f"step {step['step']}: {error}") from error


def _has_ambiguous_replies(document: Json) -> bool:
    """Tell whether two services of a machine answer with one type, which is refused at set-up."""
    for machine in document["machines"].values():
        replies: list[str] = []
        for service in (machine.get("services") or {}).values():
            derived = document["contracts"][service["contract"]]["derived"]
            replies += derived["emitTypes"][service["version"]]
        if len(replies) != len(set(replies)):
            return True
    return False


class _Scenario:
    """One run of a scenario, step after step."""

    def __init__(self, document: Json, deployment: Deployment) -> None:
        self._document = document
        self._declared: Json = document["orchestrators"]
        self._deployment = deployment
        self._symbols = Symbols(document["subjects"])
        self._records: dict[tuple[str, str], Json | None] = {}
        self._parents: dict[tuple[str, str], str | None] = {}
        self._validated: list[tuple[Json, Json]] = []

    def check_orchestrators(self) -> None:
        """Hold what was put together against the reference."""
        for name, declared in self._declared.items():
            orchestrator = self._deployment.orchestrators[name]
            expect_equal(orchestrator.source, declared["source"])
            expect_equal(orchestrator.requires_resource_locking, declared["requiresResourceLocking"], "the locking")
            for key, locking in declared["machineLocking"].items():
                machine = self._deployment.machines[key].machine
                expect_equal(machine.requires_locking, locking, f"the locking of {key}")
                expect_equal(machine.contract.system_error_type, declared["systemErrorType"])

    def check(self, step: Json) -> None:
        """Run one step and hold it against the reference."""
        name = step["orchestrator"]
        memory = self._deployment.memories[self._declared[name]["memory"]]
        event = event_from_json(self._symbols.put_in(step["input"]))
        self._prepare(step, memory, event)
        before = memory.inner.read(event.subject)
        if before is None and _version_of(event.subject) == WILDCARD_VERSION:
            self._check_wildcard(name, memory, event)
            return
        situation = self._situation(step, before, event)
        expected = expected_here(step, situation)
        orchestrator = self._deployment.orchestrators[name]
        if isinstance(expected, Refusal):
            _check_refusal(orchestrator, event, expected)
        else:
            self._check_result(orchestrator.execute(event), expected)
        written = memory.inner.read(event.subject) is not before
        self._check_operations(step, memory, may_write=written or isinstance(expected, Refusal))
        self._check_record(step, expected, before, memory.inner.read(event.subject))
        self._keep_record(step, event)

    def _prepare(self, step: Json, memory: RecordingMemory, event: Event) -> None:
        if step.get("clearMemoryBefore"):
            memory.inner.clear()
        if step.get("preLocked"):
            memory.inner.lock(event.subject)
        memory.operations.clear()
        memory.faults = step.get("memoryFaults") or {}
        for built in self._deployment.machines.values():
            built.chart.emitted_by.clear()

    def _situation(self, step: Json, before: Instance | None, event: Event) -> Situation:
        declared = self._declared[step["orchestrator"]]
        machines = [self._deployment.machines[key].machine for key in declared["machines"]]
        version = before.version if before else _version_of(event.subject)
        machine = next((machine for machine in machines if machine.version == version), machines[0])
        self._note_data(machine, event)
        return Situation(
            event=event,
            contract=machine.contract,
            executionunits=declared["executionunits"],
            instance=before,
            previous=self._records.get(self._record_key(step, event)),
            reparented=self._reparented(step, event),
            validated=self._validated,
        )

    def _keep_record(self, step: Json, event: Event) -> None:
        """Keep what the reference has, and whose child it was before a second init event made it another one's."""
        key = self._record_key(step, event)
        previous, self._records[key] = self._records.get(key), step["memoryRecord"]
        if previous is not None and event.type == self._declared[step["orchestrator"]]["source"]:
            self._parents.setdefault(key, previous["parentSubject"])

    def _reparented(self, step: Json, event: Event) -> Mapping[str, str]:
        key = self._record_key(step, event)
        record = self._records.get(key)
        if record is None or key not in self._parents:
            return {}
        return {record["parentSubject"] or event.subject: self._parents[key] or event.subject}

    def _record_key(self, step: Json, event: Event) -> tuple[str, str]:
        return self._declared[step["orchestrator"]]["memory"], event.subject

    def _note_data(self, machine: Machine, event: Event) -> None:
        """Note where the machine sees other data than came: its contract's defaults, without unlisted keys."""
        accepted = machine.inputs.get(event.type)
        if accepted is None:
            return
        try:
            validated = dict(accepted.schema.validate(event.data))
        except InvalidDataError:
            return
        if validated != event.data:
            self._validated.append((dict(event.data), validated))

    def _check_wildcard(self, name: str, memory: RecordingMemory, event: Event) -> None:
        """Hold a subject of the wildcard version against one that names the newest: the reference has none for it."""
        machines = [self._deployment.machines[key].machine for key in self._declared[name]["machines"]]
        newest = max((machine.version for machine in machines), key=version_key)
        subject = encode_subject(replace(decode_subject(event.subject), version=newest))
        twin = deployment_of(self._document)
        twin_memory = twin.memories[self._declared[name]["memory"]]
        expected = twin.orchestrators[name].execute(replace(event, subject=subject))
        actual = self._deployment.orchestrators[name].execute(event)
        for one, other in zip(actual.domained_events["all"], expected.domained_events["all"], strict=True):
            document = event_to_json(other) | {"id": one.id, "time": one.time}
            self._symbols.expect(event_to_json(one), document | {"subject": one.subject}, f"the event {one.type}")
        instance, twin_instance = memory.inner.read(event.subject), twin_memory.inner.read(subject)
        expect_equal(instance and instance.version, twin_instance and twin_instance.version, "the version")

    def _check_result(self, result: ExecutionResult, expected: Expected) -> None:
        emitted = result.domained_events["all"]
        types = sorted(event["type"] for event, _ in expected.emitted)
        expect_equal(sorted(event.type for event in emitted), types, "the list of emitted types")
        order = _order_of_the_reference(self._deployment.machines.values(), len(emitted))
        if any(built.machine.chart.is_parallel for built in self._deployment.machines.values()):
            order = _aligned(order, emitted, [document for document, _ in expected.emitted])
        for place, (document, _) in zip(order, expected.emitted, strict=True):
            self._check_event(event_to_json(emitted[place]), document, expected.failure)
        domains = dict(zip(order, (names for _, names in expected.emitted), strict=True))
        _check_domains(result, [domains[place] for place in range(len(emitted))])

    def _check_event(self, actual: Json, expected: Json, failure: Failure | None) -> None:
        if failure is not None and "errorName" in expected["data"]:
            check_failure(actual["data"], failure)
            told = {key: actual["data"][key] for key in ("errorName", "errorMessage")}
            expected = {**expected, "data": {**expected["data"], **told}}
        self._symbols.expect(actual, expected, f"the event {expected['type']}")

    def _check_operations(self, step: Json, memory: RecordingMemory, *, may_write: bool) -> None:
        recorded = self._symbols.put_in(step["memoryOps"])
        if not may_write:
            recorded = [one for one in recorded if one["op"] != "write"]
        expect_equal(memory.operations, recorded, "the list of memory operations")

    def _check_record(
        self, step: Json, expected: Refusal | Expected, before: Instance | None, instance: Instance | None
    ) -> None:
        if isinstance(expected, Refusal) or expected.untouched:
            assert instance == before, "the record has changed; it has to stay"
            return
        record = step["memoryRecord"]
        assert (instance is None) is (record is None), f"the record is {instance}; the reference has {record}"
        if instance is not None:
            key = self._declared[step["orchestrator"]]["memory"], instance.subject
            parent = self._parents.get(key, record["parentSubject"])
            here = {**record, "context": here_visible(record["context"], self._validated), "parentSubject": parent}
            check_instance(instance, here, self._deployment.machines.values(), self._symbols)


def check_instance(instance: Instance, record: Json, machines: Iterable[BuiltMachine], symbols: Symbols) -> None:
    """Hold an instance against a record of the reference, as far as it has counterparts."""
    key = (instance.source, instance.version)
    chart = next(built.chart for built in machines if (built.machine.source, built.machine.version) == key)
    expect_equal(instance.status, record["status"], "the status")
    symbols.expect(instance.parent_subject, record["parentSubject"], "the parent's subject")
    context = {key: item for key, item in record["context"].items() if key != REFERENCE_CONTEXT_KEY}
    symbols.expect(chart.context(instance.snapshot), context, "the context")
    # Nothing is active once the chart is final.
    if instance.status is Status.ACTIVE:
        expect_equal(chart.value(instance.snapshot), record["value"], "the value")


def check_failure(data: Mapping[str, Any], failure: Failure) -> None:
    """Hold the data of a system error against what it has to say."""
    if failure.name is not None:
        expect_equal(data["errorName"], failure.name, "errorName")
    message: str = data["errorMessage"]
    for words in failure.mentions:
        assert words in message, f"errorMessage is {message!r}; it has to mention {words}"
    if not message.startswith(failure.message_head):
        raise AssertionError(f"errorMessage is {message!r}; the reference's begins {failure.message_head!r}")


def _check_refusal(orchestrator: Orchestrator, event: Event, refusal: Refusal) -> None:
    error = expect_refused(lambda: orchestrator.execute(event), refusal.error)
    if isinstance(error, ArvoTransactionError):
        expect_equal(error.cause, refusal.cause, "the cause")
    if not str(error).startswith(refusal.message_head):
        raise AssertionError(f"the error is {str(error)!r}; the reference's begins {refusal.message_head!r}")


def _version_of(subject: str) -> str | None:
    try:
        return decode_subject(subject).version
    except InvalidSubjectError:
        return None


def _order_of_the_reference(machines: Iterable[BuiltMachine], count: int) -> list[int]:
    """Give our places of the emitted events in the reference's order: emitted, then enqueued, then the completion."""
    kinds = [kind for built in machines for kind in built.chart.emitted_by]
    ranks = [EMISSION_RANKS[kind] for kind in kinds] + [len(EMISSION_RANKS)] * (count - len(kinds))
    return sorted(range(count), key=lambda place: ranks[place])


def _aligned(order: Sequence[int], emitted: Sequence[Event], expected: Sequence[Json]) -> list[int]:
    """Leave open in which order parallel regions emit: sismic enters and leaves them in another one."""
    left = list(order)
    aligned = []
    for document in expected:
        what = (document["type"], document["data"])
        same = [place for place in left if (emitted[place].type, emitted[place].data) == what]
        aligned.append((same or left)[0])
        left.remove(aligned[-1])
    return aligned


def _check_domains(result: ExecutionResult, domains: Sequence[tuple[str, ...]]) -> None:
    """Hold the buckets against the domains of each event, in order of execution."""
    buckets: dict[str, list[str]] = {}
    for event, names in zip(result.domained_events["all"], domains, strict=True):
        for name in names:
            buckets.setdefault(name, []).append(event.id)
    expect_equal(result.all_event_domains, list(buckets), "all_event_domains")
    actual = {name: [event.id for event in events] for name, events in result.domained_events.items() if name != "all"}
    expect_equal(actual, buckets, "domained_events")
    expect_equal([event.id for event in result.events], buckets.get(DEFAULT_DOMAIN, []), "events")
