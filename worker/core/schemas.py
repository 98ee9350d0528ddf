"""Schemas: what data has to look like, and what it looks like once validated.

A schema is a Pydantic model, or any type that Pydantic knows whose values are JSON objects.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from pydantic import AllowInfNan, BaseModel, Field, Strict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import ErrorDetails, PydanticSerializationError

from worker.core.arguments import shown
from worker.core.engine.stored_object import StoredObject
from worker.core.errors import InvalidDataError, SetupError
from worker.core.json import dumps
from worker.core.schema_findings import ObjectKeys, object_keys, schema_findings

Number = Annotated[int, Strict()] | Annotated[float, Strict(), AllowInfNan(allow_inf_nan=False)]
"""A JSON number that stays what it is: 1 is an integer, 1.5 a float; no boolean, no text."""

_FAULTS_MAX: Final = 20
_NO_OBJECTS: Final = frozenset(("bool", "bytes", "float", "int", "list", "none", "set", "str", "tuple"))
"""Kinds of Pydantic's schemas that no data of an event can fit."""

# These texts are written by whoever wrote the model, and may quote the data.
_OWN_TEXTS: Final = frozenset(("value_error", "assertion_error"))

_NO_INTEGERS: Final = frozenset((bool, float, str, type(None)))
"""Types of values that neither are integers nor hold any."""

_FROM_1E16: Final = dumps(1e16).removeprefix(b"1").removesuffix(b"6")
"""Is in the text of every float from 1e16 to 1e19; smaller ones that are whole numbers have a `.0`."""


class Schema:
    """Validate data strictly and give it back as plain JSON.

    Defaults are filled in, unlisted keys are treated as the model's `extra` says, keys have their wire names
    (aliases). A field that may be absent, and then stays absent, is declared with Pydantic's `MISSING`.
    `declared` is the model, or whatever the schema was made of.
    """

    __slots__ = ("_adapter", "_read", "_write", "declared", "name")

    def __init__(self, declared: Any) -> None:
        self.declared: Any = declared
        self.name: str = getattr(declared, "__name__", str(declared))
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(declared)
            findings = list(schema_findings(self._adapter.core_schema))
        except PydanticUserError as error:
            raise SetupError(
                f"Pydantic makes no schema of {self.name}; expected a class derived from BaseModel: {error.message}"
            ) from error
        except (KeyError, TypeError) as error:
            # What Pydantic makes of a value that is no type at all.
            raise SetupError(f"{shown(declared)} is no schema; expected a class derived from BaseModel.") from error
        # The adapter's own methods only pass on what they are given.
        self._read: Final = self._adapter.validator.validate_json
        self._write: Final = self._adapter.serializer.to_python
        for finding in findings:
            raise SetupError(f"The schema {self.name} {finding}")
        if self._adapter.core_schema["type"] in _NO_OBJECTS:
            raise SetupError(f"The schema {self.name} takes no JSON object; expected a class derived from BaseModel.")

    def __repr__(self) -> str:
        return f"Schema({self.name})"

    def validate(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Give the validated data as JSON values; integers stay integers. Raises: InvalidDataError."""
        plain = self._checked(self._written(data), data, self._plain)
        if not isinstance(plain, dict):
            raise InvalidDataError(f"The data for {self.name} is no object.", [()])
        if _NO_INTEGERS.issuperset(map(type, data.values())) or not _may_hold_integers(dumps(plain)):
            return plain
        return _with_integers(plain, data)

    def validated(self, data: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Give what `validate` gives, and its JSON text. Raises: InvalidDataError."""
        raw = self._written(data)
        plain = self._checked(raw, data, self._plain)
        if not isinstance(plain, dict):
            raise InvalidDataError(f"The data for {self.name} is no object.", [()])
        text = dumps(plain)
        if text == raw or not _may_hold_integers(text):
            return plain, text
        plain = _with_integers(plain, data)
        return plain, dumps(plain)

    def parse(self, data: Mapping[str, Any]) -> Any:
        """Give the validated data as what is declared: an instance of the model. Raises: InvalidDataError."""
        return self._checked(self._written(data), data, lambda value: value)

    def is_valid(self, data: Mapping[str, Any]) -> bool:
        """Tell whether the data fits."""
        try:
            self.validate(data)
        except InvalidDataError:
            return False
        return True

    def keys(self) -> ObjectKeys | None:
        """Tell which keys of the data are read, if that can be told without data."""
        return object_keys(self._adapter.core_schema)

    def json_schema(self) -> dict[str, Any]:
        """Give the JSON Schema (2020-12) of what is accepted."""
        return self._adapter.json_schema()

    def _plain(self, value: Any) -> Any:
        return self._write(value, mode="json", by_alias=True, warnings=False)

    def _written(self, data: Mapping[str, Any]) -> bytes:
        if type(data) is StoredObject:
            return data.text
        try:
            return dumps(data)
        except ValueError as error:
            raise InvalidDataError(f"The data for {self.name} is no JSON: {error}", [()]) from error

    def _checked(self, raw: bytes, data: Mapping[str, Any], shaped: Callable[[Any], Any]) -> Any:
        # JSON mode reads dates, UUIDs and the like from their texts; strict still means that "5" is no number.
        try:
            return shaped(self._read(raw, strict=True))
        except ValidationError as error:
            raise _invalid(self.name, error, data) from error
        except PydanticSerializationError as error:
            raise InvalidDataError(f"The data for {self.name} can't be written as JSON.", [()]) from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # A check that the model brings may raise anything, `exit()` included.
            raise InvalidDataError(f"A check of {self.name} raised {type(error).__name__}.", [()]) from error


class SystemErrorData(BaseModel):
    """Say what failed; the data of every system error event."""

    error_name: Annotated[str, Field(alias="errorName")]
    error_message: Annotated[str, Field(alias="errorMessage")]
    error_stack: Annotated[str | None, Field(alias="errorStack")]


SYSTEM_ERROR_SCHEMA: Final = Schema(SystemErrorData)


def _invalid(name: str, error: ValidationError, data: Mapping[str, Any]) -> InvalidDataError:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    placed = [(_place(fault, data), _text(fault)) for fault in faults[:_FAULTS_MAX]]
    paths = dict.fromkeys(path for path, _ in placed)
    texts = dict.fromkeys(f"{'/'.join(map(str, path)) or 'the whole'}: {text}" for path, text in placed)
    more = len(faults) - len(placed)
    return InvalidDataError(
        f"The data does not fit {name}: {'; '.join(texts)}{f'; and {more} more' if more else ''}.", list(paths)
    )


def _text(fault: ErrorDetails) -> str:
    return "refused by a check of the model" if fault["type"] in _OWN_TEXTS else fault["msg"]


def _place(fault: ErrorDetails, data: Any) -> tuple[str | int, ...]:
    """Follow the fault's location through the data, leaving out the branches of unions that Pydantic adds."""
    place: list[str | int] = []
    here = data
    for step in fault["loc"]:
        if _leads_on(here, step):
            here = here[step]
            place.append(step)
        elif fault["type"] == "missing" and step == fault["loc"][-1]:
            place.append(step)
    return tuple(place)


def _leads_on(container: object, step: str | int) -> bool:
    if isinstance(container, (list, tuple)):
        return isinstance(step, int) and step < len(container)
    return isinstance(container, Mapping) and step in container


def _may_hold_integers(text: bytes) -> bool:
    """Tell whether one of the floats in a JSON text may have been an integer of 64 bits."""
    return b".0" in text or _FROM_1E16 in text


def _with_integers(validated: dict[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Put back the integers that a `float` field made floats of: a double does not keep all of them."""
    for key, value in validated.items():
        if key in data:
            validated[key] = _with_integer(value, data[key])
    return validated


def _with_integer(validated: Any, given: object) -> Any:
    if isinstance(validated, float) and isinstance(given, int) and not isinstance(given, bool):
        # A check of the model may have made another number of it.
        return given if validated == float(given) else validated
    if isinstance(validated, dict) and isinstance(given, Mapping):
        return _with_integers(validated, given)
    if isinstance(validated, list) and isinstance(given, (list, tuple)) and len(validated) == len(given):
        return [_with_integer(item, original) for item, original in zip(validated, given, strict=True)]
    return validated
