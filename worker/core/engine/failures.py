"""What comes of a step that an error ended, whatever the engine: an ExecutionFailure without the context's data."""

import traceback
from collections.abc import Callable
from typing import Final, TypeVar

from sismic.exceptions import (
    ConflictingTransitionsError,
    ContractError,
    NonDeterminismError,
    StatechartError,
)

from worker.core.errors import ExecutionFailure

Result = TypeVar("Result")

_NAME_MAX: Final = 256

_NO_COMMON_ANCESTOR: Final = "State None does not exist"
"""What sismic says when two transitions of the root are enabled: it looks for the state that contains both."""


def guarded(step: Callable[[], Result]) -> Result:
    """Run a step. Raises: ExecutionFailure, whatever its code raises."""
    try:
        return step()
    except ExecutionFailure:
        raise
    except KeyboardInterrupt:
        # Somebody wants the process to end; chart code can't name it.
        raise
    except BaseException as error:
        # Chart code may raise anything, `exit()` included; no record stops a partition.
        raise failure_of(error) from error


def failure_of(error: BaseException) -> ExecutionFailure:
    """Tell of what a step's code raised, other than an ExecutionFailure."""
    return ExecutionFailure(_name(error), _message(error), _stack(error))


def _name(error: BaseException) -> str:
    if isinstance(error, StatechartError) and str(error) == _NO_COMMON_ANCESTOR:
        return "NonDeterminismError"
    return type(error).__name__.encode("utf-8", "replace").decode().replace("\0", "")[:_NAME_MAX] or "Error"


def _message(error: BaseException) -> str:
    match error:
        case ContractError():
            # Sismic's own text has the whole context.
            return f"The condition does not hold: {error.condition}"
        case StatechartError() if str(error) == _NO_COMMON_ANCESTOR:
            return "Non-determinist choice between transitions of the root: give them guards or priorities"
        case NonDeterminismError() | ConflictingTransitionsError():
            return str(error).partition("\n")[0]
    return _text(lambda: str(error), f"an error of type {type(error).__name__} that has no text")


def _stack(error: BaseException) -> str:
    return _text(lambda: "".join(traceback.format_exception(error)), "")


def _text(tell: Callable[[], str], otherwise: str) -> str:
    """Ask an error for its text, which is code of the chart's functions and may raise anything."""
    try:
        return tell()
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001
        return otherwise
