"""Expected errors end a command as one message on standard error, without a stack trace.

Exit status 2 is a set-up fault: nothing was begun. 1 is a failure on the way. Whatever is not expected is a bug, and
shows its trace.
"""

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

FAILED = 1
SETUP_FAULT = 2
INTERRUPTED = 130


@contextmanager
def faults_reported() -> Iterator[None]:
    """End the program with one message, if an expected error comes out of the block."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        _reader_gone()
    except Exception as error:
        status = _status(error)
        if status is None:
            raise
        fail(str(error), status)


def reports_faults(command: Callable[P, R]) -> Callable[P, R]:
    """Give the command with `faults_reported` around it."""

    @functools.wraps(command)
    def reporting(*arguments: P.args, **named: P.kwargs) -> R:
        with faults_reported():
            return command(*arguments, **named)

    return reporting


def fail(text: str, status: int = FAILED) -> NoReturn:
    """Say what is wrong and end the program."""
    sys.stdout.flush()
    sys.stderr.write(f"error: {text.rstrip()}\n")
    sys.exit(status)


def _status(error: Exception) -> int | None:
    # Imported late: a command that has no fault does not pay for them.
    from worker.core.errors import SetupError, WorkerError
    from worker.ports import DatabaseRefused, DatabaseUnavailable, KafkaFatal, KafkaUnavailable, RevisionMismatch

    if isinstance(error, SetupError):
        return SETUP_FAULT
    expected = (WorkerError, DatabaseRefused, DatabaseUnavailable, KafkaFatal, KafkaUnavailable, RevisionMismatch)
    return FAILED if isinstance(error, expected) else None


def _reader_gone() -> NoReturn:
    """End as programs do whose reader (`head`, say) has had enough."""
    import os

    # What is left in the buffer has nowhere to go; the interpreter would complain when it flushes.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(FAILED)
