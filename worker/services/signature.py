"""How a service's function is to be called, read from its annotations and held against the contract. Pure.

Whatever does not fit is found here, when the function is decorated, and not by the first request.
"""

import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Union, get_args, get_origin, get_type_hints

from worker.core.contracts import Contract, ContractVersion
from worker.core.errors import SetupError
from worker.services.replies import Reply, ReplyModels
from worker.services.request import Request

_RETURN: Final = "return"
_PARAMETERS_MAX: Final = 2
_UNIONS: Final = (Union, types.UnionType)
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Signature:
    """Say how to call a function: with a model or plain data, with the request or without; and if it may be silent."""

    takes_model: bool
    takes_request: bool
    may_be_silent: bool


def check_contract(contract: object) -> ContractVersion:
    """Give back what a service may be bound to. Raises: SetupError."""
    if isinstance(contract, Contract):
        raise SetupError(
            f"A service is bound to one version of a contract, and the contract {contract.uri} has "
            f"{', '.join(contract.versions)}: write @service(contract.version(…))."
        )
    if not isinstance(contract, ContractVersion):
        raise SetupError(
            f"A service is bound to a version of a contract, and {contract!r:.200} is none: "
            'write @service(contract.version("1.0.0")) above the function.'
        )
    if contract.is_orchestrator:
        raise SetupError(
            f"The contract {contract.dataschema} is an orchestrator's; a service's is made with create_contract. "
            "For a workflow, bind a statechart to it with setup_machine."
        )
    return contract


def read_signature(contract: ContractVersion, models: ReplyModels, function: Callable[..., Any]) -> Signature:
    """Read how the function is called. Raises: SetupError that says which function, what was expected, and got."""
    return _Reader(contract, models, function).read()


class _Reader:
    def __init__(self, contract: ContractVersion, models: ReplyModels, function: Callable[..., Any]) -> None:
        self._contract = contract
        self._models = models
        self._function = function
        self._name = getattr(function, "__qualname__", repr(function))

    def read(self) -> Signature:
        self._check_kind()
        parameters = list(inspect.signature(self._function).parameters.values())
        hints = self._hints()
        self._check_parameters(parameters)
        takes_model = self._takes_model(parameters[0].name, hints)
        if len(parameters) == _PARAMETERS_MAX:
            self._check_request(parameters[1].name, hints)
        may_be_silent = self._check_returned(hints)
        return Signature(takes_model, len(parameters) == _PARAMETERS_MAX, may_be_silent)

    def _check_kind(self) -> None:
        function = self._function
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            self._refuse(
                "is async. Services are called one request at a time, on a thread of their own: write `def`, and call "
                "asyncio.run(…) in it where a library is async."
            )
        if not (inspect.isfunction(function) or inspect.ismethod(function)):
            self._refuse(f"is a {type(function).__name__}; expected a function. Write one that calls it.")

    def _hints(self) -> dict[str, Any]:
        try:
            return get_type_hints(self._function)
        except Exception as error:  # noqa: BLE001 - an annotation is code, and may raise anything.
            self._refuse(
                f"has an annotation that can't be read ({type(error).__name__}: {error}). "
                "Import or define the models at the top of the module, not within a function."
            )

    def _check_parameters(self, parameters: list[inspect.Parameter]) -> None:
        told = ", ".join(map(str, parameters)) or "nothing"
        if not 1 <= len(parameters) <= _PARAMETERS_MAX or any(one.kind not in _POSITIONAL for one in parameters):
            self._refuse(f"takes ({told}); expected the data, and after it, if it is needed, `request: Request`.")

    def _takes_model(self, name: str, hints: Mapping[str, Any]) -> bool:
        declared = self._contract.accepts.declared
        expected = f"expected {_told(declared)}, which the contract accepts, or Mapping[str, Any]"
        if name not in hints:
            self._refuse(f"has no annotation for `{name}`; {expected}.")
        hint = hints[name]
        if hint != declared and (get_origin(hint) or hint) not in (Mapping, dict):
            self._refuse(f"takes `{name}: {_told(hint)}`; {expected}. Annotate it so, or bind it to another contract.")
        return bool(hint == declared)

    def _check_request(self, name: str, hints: Mapping[str, Any]) -> None:
        if hints.get(name) is not Request:
            got = _told(hints[name]) if name in hints else "nothing"
            self._refuse(f"has a second parameter `{name}` annotated with {got}; expected Request of `worker`.")

    def _check_returned(self, hints: Mapping[str, Any]) -> bool:
        """Check all that the function says it returns; tell whether nothing is among it."""
        if _RETURN not in hints:
            self._refuse(f"says not what it returns; {self._expected()}.")
        returned = list(_members(hints[_RETURN]))
        for one in returned:
            self._check_member(one)
        return type(None) in returned

    def _check_member(self, hint: Any) -> None:
        if hint in (type(None), Reply):
            return
        if isinstance(hint, type) and hint in self._models.types:
            found = self._models.types[hint]
            if len(found) > 1:
                self._refuse(
                    f"returns {_told(hint)}, which is the data of {' and '.join(found)} alike; "
                    f'return Reply("{found[0]}", …) and annotate it so.'
                )
            return
        if hint in self._declared():
            self._refuse(f"returns {_told(hint)}, whose values tell no event type; return Reply(type, data).")
        origin = get_origin(hint) or hint
        if isinstance(origin, type) and issubclass(origin, Mapping):
            self._refuse(f"returns {_told(hint)}, which tells no event type; return Reply(type, data).")
        self._refuse(f"returns {_told(hint)}; {self._expected()}.")

    def _declared(self) -> list[Any]:
        return [schema.declared for schema in self._contract.emits.values()]

    def _expected(self) -> str:
        models = ", ".join(model.__name__ for model in self._models.types)
        emitted = f"{models} (what the contract emits), " if models else ""
        return f"expected {emitted}Reply, a union or an iterable of these, or None where there may be no answer"

    def _refuse(self, fault: str) -> NoReturn:
        contract = f"{self._contract.type} {self._contract.version}"
        raise SetupError(f"The service {self._name} of {contract} {fault}")


def _members(hint: Any) -> Iterator[Any]:
    """Take unions and iterables apart."""
    origin = get_origin(hint)
    if origin in _UNIONS:
        for member in get_args(hint):
            yield from _members(member)
    elif isinstance(origin, type) and issubclass(origin, Iterable) and not issubclass(origin, Mapping):
        yield from _items(origin, get_args(hint))
    else:
        yield hint


def _items(origin: type, arguments: tuple[Any, ...]) -> Iterator[Any]:
    # A generator's other arguments are what it is sent and what it returns.
    for item in arguments if issubclass(origin, tuple) else arguments[:1]:
        if item is not ...:
            yield from _members(item)


def _told(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")
