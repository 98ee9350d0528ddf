"""The tree of errors.

WorkerError
├── SetupError               a contract, machine, registry or setting is wrong: the start stops
├── InvalidEventError        an event's attributes break the rules of SPEC events: dead letter
│   └── InvalidControlError  a control record breaks its rules, or has a command that is not known: dead letter
├── InvalidSubjectError      a subject can't be decoded: dead letter
├── InvalidDataError         data does not fit its schema; the step decides what follows
├── ExecutionFailure         a machine failed within a step: a system error event
├── ConfigViolation          a library call met no machine or no contract for the event
├── StaleWriteError          a memory holds something else than what the execution read; retried
└── ArvoTransactionError     the infrastructure can't keep its promises: retried, never an event
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Events raise these errors.
    from worker.core.events import Event


class WorkerError(Exception):
    """Stand above every error that this package raises on purpose."""


class SetupError(WorkerError):
    """A contract, machine or registry is put together wrongly; the text names which, and what to do.

    `file` and `line` (from 1) say where, as the text does, if that is known.
    """

    def __init__(self, message: str, *, file: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.file = file
        self.line = line


class InvalidEventError(WorkerError):
    """An event breaks the rules of its attributes; `failed` names them (`data` for the data)."""

    def __init__(self, message: str, failed: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.failed = tuple(failed)


class InvalidControlError(InvalidEventError):
    """A control record breaks its rules, or has a command that this worker does not know."""


class InvalidSubjectError(WorkerError):
    """A subject can't be decoded, or its content breaks the rules."""


class InvalidDataError(WorkerError):
    """Data does not fit its schema; `paths` names the places, outermost key first."""

    def __init__(self, message: str, paths: Sequence[tuple[str | int, ...]] = ()) -> None:
        super().__init__(message)
        self.paths = tuple(paths)


class ExecutionFailure(WorkerError):
    """A machine failed within a step; `name` is the original error's name."""

    def __init__(self, name: str, message: str, stack: str | None = None) -> None:
        super().__init__(message)
        self.name = name
        self.message = message
        self.stack = stack


class ConfigViolation(WorkerError):
    """No machine, or no contract of the machine, is there for the event."""


class StaleWriteError(WorkerError):
    """What an execution would write rests on what the memory no longer holds: another one came between."""


class TransactionCause(StrEnum):
    """Say which promise the infrastructure could not keep."""

    INVALID_SUBJECT = "INVALID_SUBJECT"
    LOCK_UNACQUIRED = "LOCK_UNACQUIRED"
    LOCK_MACHINE_MEMORY_FAILURE = "LOCK_MACHINE_MEMORY_FAILURE"
    READ_MACHINE_MEMORY_FAILURE = "READ_MACHINE_MEMORY_FAILURE"
    WRITE_MACHINE_MEMORY_FAILURE = "WRITE_MACHINE_MEMORY_FAILURE"


class ArvoTransactionError(WorkerError):
    """The infrastructure can't keep its promises for `event`; the step is to be retried."""

    def __init__(self, cause: TransactionCause, message: str, event: "Event") -> None:
        super().__init__(message)
        self.cause = cause
        self.event = event
