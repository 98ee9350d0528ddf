"""What a service's function gives back, and which event of the contract it stands for. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any, Final, is_typeddict

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from worker.core.contracts import ContractVersion
from worker.core.errors import ExecutionFailure, InvalidDataError

REPLIES_MAX: Final = 1_000
"""How many events may answer one request."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer whose type is named: needed where two types share a model, or the data is a plain mapping.

    `data` is a mapping of JSON values, or a model.
    `executionunits` stands above those of the service.
    """

    type: str
    data: Any
    executionunits: float | None = None


@dataclass(frozen=True, slots=True)
class CheckedReply:
    """An answer whose data fits the contract, as JSON."""

    type: str
    data: Mapping[str, Any]
    executionunits: float | None


class ReplyModels:
    """Tell event types by the models that a contract's version emits."""

    def __init__(self, contract: ContractVersion) -> None:
        self._contract = contract
        self.types: dict[type, tuple[str, ...]] = {}
        for event_type, schema in contract.emits.items():
            model = schema.declared
            if isinstance(model, type) and not is_typeddict(model) and not issubclass(model, Mapping):
                self.types[model] = (*self.types.get(model, ()), event_type)

    def replies(self, value: Any) -> Iterator[CheckedReply]:
        """Give the answers that a function's value stands for: one, or several in an iterable.

        Raises: ExecutionFailure, and whatever a generator raises.
        """
        if isinstance(value, (Reply, BaseModel, Mapping, str, bytes)) or not isinstance(value, Iterable):
            yield self.reply(value)
            return
        for number, one in enumerate(value):
            if number == REPLIES_MAX:
                raise _violation(f"it gives more than {REPLIES_MAX} answers; answer with one that lists them")
            yield self.reply(one)

    def reply(self, value: Any) -> CheckedReply:
        """Give the answer that one value stands for, its data held against the contract. Raises: ExecutionFailure."""
        reply = value if isinstance(value, Reply) else Reply(self._type_of(value), value)
        schema = self._contract.emits.get(reply.type)
        if schema is None:
            raise _violation(f"it answers with {reply.type!r}; {self._emitted()}")
        try:
            data = schema.validate(plain(reply.data))
        except InvalidDataError as error:
            raise _violation(f"its answer {reply.type!r} does not fit the contract: {error}") from error
        return CheckedReply(reply.type, data, reply.executionunits)

    def _type_of(self, value: Any) -> str:
        """Find the one event type of a value's model: of its own class, else of a class above it."""
        found = self.types.get(type(value)) or tuple(
            event_type for model, types in self.types.items() if isinstance(value, model) for event_type in types
        )
        if not found:
            raise _violation(f"it answers with a {type(value).__name__}; {self._emitted()}")
        if len(found) > 1:
            raise _violation(f"a {type(value).__name__} may be {' or '.join(found)}; answer with Reply(type, data)")
        return found[0]

    def _emitted(self) -> str:
        """Say what may be answered with."""
        models = [model.__name__ for model in self.types]
        types = ", ".join(self._contract.emits) or "nothing"
        return f"expected {', '.join((*models, 'Reply'))}. The contract {self._contract.dataschema} emits {types}"


def plain(data: Any) -> Mapping[str, Any]:
    """Give the data of a model, a dataclass or a mapping as JSON values; it is not validated. Raises: InvalidDataError.

    What the author of a model wrote for its serialization may raise anything else.
    """
    if isinstance(data, Mapping):
        return data
    written: Any = None
    if isinstance(data, BaseModel):
        written = data.model_dump(mode="json", by_alias=True, warnings=False)
    elif is_dataclass(data) and not isinstance(data, type):
        written = to_jsonable_python(data, by_alias=True)
    if not isinstance(written, dict):
        raise InvalidDataError(f"The data is a {type(data).__name__}; expected a model with fields, or a mapping", [()])
    return written


def _violation(text: str) -> ExecutionFailure:
    return ExecutionFailure("ContractViolation", f"Reply validation failed - The service breaks its contract: {text}.")
