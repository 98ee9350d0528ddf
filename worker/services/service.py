"""Services: a typed function that answers the requests of one version of a contract. Pure, but for the function.

`@service(contract.version("1.0.0"))` makes one; `serve` runs it on Kafka, and `answer` is all that it does there.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import update_wrapper
from math import isfinite
from typing import Any, Final, Generic, ParamSpec, TypeVar

from worker.core.contracts import ContractVersion
from worker.core.dataschemas import dataschema_fault
from worker.core.digests import DerivedIds
from worker.core.domains import DEFAULT_DOMAIN, check_domain
from worker.core.errors import ExecutionFailure, InvalidDataError, SetupError
from worker.core.events import Event
from worker.core.outcomes import DomainedEvent
from worker.core.times import to_datetime
from worker.core.versions import WILDCARD_VERSION, parse_dataschema, version_key
from worker.services.answers import answering_events, failure_of, system_error
from worker.services.replies import CheckedReply, ReplyModels
from worker.services.request import Request
from worker.services.signature import check_contract, read_signature

P = ParamSpec("P")
R = TypeVar("R")

_INVALID_INPUT: Final = "Input validation failed - Event data does not meet contract requirements"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of an event: the answers, in their order, and the failure, if they tell of one."""

    events: tuple[DomainedEvent, ...]
    failure: ExecutionFailure | None = None


class Service(Generic[P, R]):
    """A function bound to the contract that it keeps. It stays callable as the function.

    `source` is the type that it accepts, which its answers have as their source; `domain` is where its requests are.
    """

    def __init__(
        self, function: Callable[P, R], contract: ContractVersion, domain: str, executionunits: float | None
    ) -> None:
        """Check function and contract. Raises: SetupError."""
        self.contract: Final = check_contract(contract)
        self.domain: Final = _checked_domain(contract, domain)
        self.executionunits: Final = _checked_units(contract, executionunits)
        self._models = ReplyModels(contract)
        self._signature = read_signature(contract, self._models, function)
        self._function = function
        update_wrapper(self, function)

    def __call__(self, *arguments: P.args, **named: P.kwargs) -> R:
        """Call the function itself."""
        return self._function(*arguments, **named)

    def __repr__(self) -> str:
        return f"Service({self.contract.type} {self.contract.version})"

    @property
    def source(self) -> str:
        """Name the service: the type of the events that it accepts."""
        return self.contract.type

    @property
    def version(self) -> str:
        """Give the version of the contract that it keeps."""
        return self.contract.version

    def is_addressed(self, event: Event) -> bool:
        """Tell whether the event is a request to this service, in whatever version."""
        return event.type == self.source and event.to == self.source

    def answer(self, event: Event, now: int, *, error_stacks: bool = False) -> tuple[DomainedEvent, ...]:
        """Answer an event; there is no answer to what is no request to this service.

        `now` is in milliseconds since the epoch. The function's errors, a request that breaks the contract (another
        version of it, too) and a reply that does become the system error, with a stack if `error_stacks` says so.
        """
        return self.attempt(event, now, error_stacks=error_stacks).events

    def attempt(self, event: Event, now: int, *, error_stacks: bool = False) -> Attempt:
        """Answer an event as `answer` does, and tell of a failure."""
        if not self.is_addressed(event):
            return Attempt(())
        try:
            replies = self._replies(event, now)
            return Attempt(answering_events(self.contract, event, replies, now, self.executionunits))
        except ExecutionFailure as failure:
            return self.refuse(event, now, failure, error_stacks=error_stacks)

    def refuse(self, event: Event, now: int, failure: ExecutionFailure, *, error_stacks: bool = False) -> Attempt:
        """Answer a request with the system error that tells of a failure."""
        events = system_error(self.contract, event, failure, now, self.executionunits, error_stacks=error_stacks)
        return Attempt(events, failure)

    def _replies(self, event: Event, now: int) -> list[CheckedReply]:
        fault = dataschema_fault(self.contract, event, "service")
        if fault is not None:
            raise _invalid_input(fault)
        arguments: list[Any] = [self._data(event)]
        if self._signature.takes_request:
            arguments.append(Request(event, to_datetime(now), DerivedIds(event)))
        try:
            return list(self._called(arguments))
        except (ExecutionFailure, KeyboardInterrupt):
            # A failure that is named already, or somebody who wants the process to end.
            raise
        except BaseException as error:
            # The function may raise anything, `exit()` included, and so may its models.
            raise failure_of(error) from error

    def _data(self, event: Event) -> Any:
        schema = self.contract.accepts
        try:
            return schema.parse(event.data) if self._signature.takes_model else schema.validate(event.data)
        except InvalidDataError as error:
            raise _invalid_input(str(error)) from error

    def _called(self, arguments: list[Any]) -> Iterator[CheckedReply]:
        function: Callable[..., Any] = self._function
        value = function(*arguments)
        if value is None and self._signature.may_be_silent:
            return
        yield from self._models.replies(value)


def service(
    contract: ContractVersion, *, domain: str = DEFAULT_DOMAIN, executionunits: float | None = None
) -> Callable[[Callable[P, R]], Service[P, R]]:
    """Make a service of a typed function.

    Its first parameter is annotated with the model that the contract accepts, or with Mapping; a second one, if there
    is one, with Request. It returns models that the contract emits, a `Reply`, an iterable of these, or None where its
    annotation says so. `domain` is where requests are read; `executionunits` stands on answers that give none.
    Raises: SetupError, here or above the function, for whatever does not fit.
    """
    checked = check_contract(contract)

    def decorate(function: Callable[P, R]) -> Service[P, R]:
        return Service(function, checked, domain, executionunits)

    return decorate


def concerned(services: Sequence[Service[..., Any]], event: Event) -> Service[..., Any] | None:
    """Find the service that a request is for among those of one type: that of its version.

    A request that names no version, or the wildcard, is for the newest; so is one that names another contract, to be
    told so. One for a version that is not here is for nobody: another process may have it.
    """
    addressed = [one for one in services if one.is_addressed(event)]
    if not addressed:
        return None
    newest = max(addressed, key=lambda one: version_key(one.version))
    named = parse_dataschema(event.dataschema) if event.dataschema else None
    if named is None or named[0] != newest.contract.uri or named[1] == WILDCARD_VERSION:
        return newest
    return next((one for one in addressed if one.version == named[1]), None)


def _invalid_input(text: str) -> ExecutionFailure:
    return ExecutionFailure("ContractViolation", f"{_INVALID_INPUT}: {text}")


def _checked_domain(contract: ContractVersion, domain: object) -> str:
    where = f"The service of {contract.type} {contract.version}"
    if not isinstance(domain, str):
        raise SetupError(f"{where} reads the domain {domain!r:.200}; expected its name, a text.")
    try:
        return check_domain(domain)
    except ValueError as error:
        raise SetupError(f"{where} reads no such domain: {error}") from error


def _checked_units(contract: ContractVersion, units: object) -> float | None:
    if units is None:
        return None
    if isinstance(units, bool) or not isinstance(units, (int, float)) or not isfinite(units):
        raise SetupError(
            f"The service of {contract.type} {contract.version} has the executionunits {units!r}; "
            "expected a finite number, or None."
        )
    return units
