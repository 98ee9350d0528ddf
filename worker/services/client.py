"""Start workflows, await their end, and answer for people.

What the worker publishes is read from before the first start. Starts may come from any number of threads.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Self
from uuid import NAMESPACE_URL, uuid4, uuid5

from worker.adapters.kafka.producing import EventProducer
from worker.adapters.kafka.rights import Needs
from worker.adapters.kafka.tailing import Since, Start, TopicTail
from worker.core.contracts import PARENT_SUBJECT, ContractVersion
from worker.core.dataschemas import dataschema_fault
from worker.core.domains import DEFAULT_DOMAIN, unique_domains
from worker.core.errors import ExecutionFailure, InvalidDataError, SetupError, WorkerError
from worker.core.event_rules import is_reverse_dns
from worker.core.events import Event
from worker.core.factories import init_event
from worker.core.times import to_event_time
from worker.ports import KafkaUnavailable
from worker.services.answers import answering_events
from worker.services.connection import connection_of
from worker.services.inboxes import Inboxes
from worker.services.reading import Reading
from worker.services.replies import ReplyModels, plain
from worker.services.workflows import Workflow
from worker.settings import Settings
from worker.tracing import trace_sending


class Client:
    """Start workflows and await their end, for as long as the context lasts. Threads may share one.

    `source` names who starts them (a reverse-DNS name, as com.example.shop), `domains` what is read beside `default`.
    What was published before the context began is not seen, unless `look_back_seconds` says so: repeated starts may
    have ended already. Settings are the worker's, from WORKER_* and `.env`; no database is needed.
    """

    def __init__(
        self,
        source: str,
        *,
        domains: Sequence[str] = (),
        look_back_seconds: float = 0.0,
        settings: Settings | None = None,
    ) -> None:
        """Read the settings. Raises: SetupError."""
        self._source: Final = _checked_source(source)
        self._connection = connection_of(settings)
        self._topics = [self._connection.topics.domain(domain) for domain in _checked_domains(domains)]
        self._look_back_seconds = look_back_seconds
        self._inboxes = Inboxes()
        self._producer: EventProducer | None = None
        self._reading: Reading | None = None

    def __enter__(self) -> Self:
        """Connect, and begin to read. Raises: SetupError, if no broker answers, or a topic is missing."""
        name = f"{self._connection.topics.prefix}.client"  # No offsets are committed for it.
        self._connection.prepare(Needs(reads=self._topics, named=[name]))
        start = Since(_now() - round(self._look_back_seconds * 1000)) if self._look_back_seconds > 0 else Start.END
        try:
            tail = TopicTail(self._connection.kafka, self._topics, start, name)
        except KafkaUnavailable as error:
            raise SetupError(str(error)) from error
        self._producer = EventProducer(self._connection.kafka)
        self._reading = Reading(tail, self._source, self._inboxes)
        self._reading.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop reading; who still waits is told so."""
        reading, self._reading, self._producer = self._reading, None, None
        self._inboxes.close()
        if reading is not None:
            reading.stop()

    def start(
        self,
        contract: ContractVersion,
        data: Any,
        *,
        source: str | None = None,
        execution_id: str | None = None,
        accesscontrol: str | None = None,
    ) -> Workflow:
        """Start a workflow, and return once Kafka has the event that starts it.

        `data` is a mapping, or the model of the contract's `init`. The same `execution_id` (from the same source, of
        the same version) names the same workflow: a start that is repeated starts nothing new, so give it where a
        start may be tried again, an order's number for example.
        Raises: InvalidDataError, before anything is sent; SetupError, for what is no version of an orchestrator's
        contract; KafkaUnavailable, if the brokers do not acknowledge: repeat the start with the same `execution_id`.
        """
        reading = self._open()
        attributes = {
            "source": self._source if source is None else _checked_source(source),
            "data": _init_data(contract, data),
            "time": to_event_time(_now()),
            "to": contract.type,
            "accesscontrol": accesscontrol,
        }
        event = _init_event(contract, attributes, execution_id or str(uuid4()))
        workflow = Workflow(contract, event.subject, self._inboxes.claim(event.subject), reading)
        self.send(event)
        return workflow

    def send(self, event: Event) -> None:
        """Send an event to the worker, and return once Kafka has it. Raises: KafkaUnavailable.

        Where the program traces itself by OpenTelemetry, the event begins or continues a trace.
        """
        self._open()
        if not isinstance(event, Event):
            raise TypeError(f"send takes an Event, not a {type(event).__name__}; make one with create_event.")
        self._sent(event)

    def _sent(self, event: Event) -> Event:
        """Send an event, and give it as it was sent."""
        assert self._producer is not None
        with trace_sending(self._connection.topics.input, event) as trace:
            self._producer.deliver(self._connection.input_record(trace.event))
        return trace.event

    def reply(self, request: Event, contract: ContractVersion, reply: Any) -> Event:
        """Answer a request for the service that a person stands in for, and give the event that was sent.

        `reply` is a model that the contract emits, or a `Reply`. The answer's id is derived from the request, so that
        the first of two answers counts.
        Raises: InvalidDataError, before anything is sent; SetupError, if it is no request of this contract;
        KafkaUnavailable.
        """
        _check_request(request, contract)
        try:
            checked = ReplyModels(contract).reply(reply)
            (answer,) = answering_events(contract, request, [checked], _now())
        except ExecutionFailure as failure:
            raise InvalidDataError(failure.message) from failure
        self._open()
        return self._sent(answer.event)

    def _open(self) -> Reading:
        if self._reading is None:
            raise WorkerError("The client is not open; use it within `with Client(…) as client:`.")
        return self._reading


def _init_data(contract: object, data: Any) -> dict[str, Any]:
    if not isinstance(contract, ContractVersion):
        raise SetupError(
            f'A workflow is started by a version of its contract, and {contract!r:.200} is none: use its version("…").'
        )
    given = {PARENT_SUBJECT: None, **plain(data)}
    if given[PARENT_SUBJECT] is not None:
        text = f"A client starts workflows that have no parent; leave {PARENT_SUBJECT} out of the data."
        raise InvalidDataError(text, [(PARENT_SUBJECT,)])
    return given


def _init_event(contract: ContractVersion, attributes: dict[str, Any], execution_id: str) -> Event:
    """Make the event, its id derived from its subject: the start of an execution has one id."""
    draft = init_event(contract, {**attributes, "id": execution_id}, execution_id=execution_id)
    return replace(draft, id=str(uuid5(NAMESPACE_URL, draft.subject)))


def _check_request(request: Event, contract: object) -> None:
    if not isinstance(contract, ContractVersion):
        raise SetupError(
            f'A request is answered under a version of a contract, and {contract!r:.200} is none: use its version("…").'
        )
    if request.type != contract.type:
        raise SetupError(
            f"The event {request.type} is no request of {contract.dataschema}, which accepts {contract.type}; "
            "answer under the contract that accepts it."
        )
    fault = dataschema_fault(contract, request, "service")
    if fault is not None:
        raise SetupError(f"The request is of another contract: {fault}. Answer under the version that it names.")


def _checked_source(source: object) -> str:
    if not isinstance(source, str) or not is_reverse_dns(source):
        raise SetupError(
            f"A client has the source {source!r:.200}; expected a name of at least three parts of a-z and 0-9, "
            "as com.example.shop."
        )
    return source


def _checked_domains(domains: Sequence[str]) -> tuple[str, ...]:
    if isinstance(domains, str):
        raise SetupError(f"A client's domains are the text {domains!r:.200}; name them in a list.")
    try:
        return unique_domains((DEFAULT_DOMAIN, *domains))
    except ValueError as error:
        raise SetupError(str(error)) from error


def _now() -> int:
    return time.time_ns() // 1_000_000
