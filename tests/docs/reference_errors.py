"""The tables of the page on errors, made from the code and put between their marks."""

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Final

import worker
from tests.docs.pages import Page
from worker.core.dead_letter_advice import ADVICE
from worker.core.errors import TransactionCause, WorkerError

PAGE: Final = Page("docs/errors.md")
CAUSES: Final = {
    TransactionCause.INVALID_SUBJECT: "decode the event's subject, so nobody knows which instance it is about",
    TransactionCause.LOCK_UNACQUIRED: "have the instance to itself: another execution has it",
    TransactionCause.LOCK_MACHINE_MEMORY_FAILURE: "ask the memory for the lock",
    TransactionCause.READ_MACHINE_MEMORY_FAILURE: "read the instance",
    TransactionCause.WRITE_MACHINE_MEMORY_FAILURE: "write the instance",
}


def errors_page() -> str:
    text = PAGE.text
    for name, (head, rows) in TABLES.items():
        table = "\n".join((f"| {head} |", "|---|---|", *(f"| `{first}` | {second} |" for first, second in rows())))
        marked = f"<!-- {name} -->\n{table}\n<!-- /{name} -->"
        place = re.search(rf"<!-- {name} -->.*?<!-- /{name} -->", text, re.DOTALL)
        assert place, f"{PAGE} has no place for the table {name}"
        text = text[: place.start()] + marked + text[place.end() :]
    return text


def reasons() -> Iterator[tuple[str, str]]:
    for reason, advice in ADVICE.items():
        yield reason, advice.meaning


def causes() -> Iterator[tuple[str, str]]:
    for cause in TransactionCause:
        yield cause, CAUSES[cause]


def classes() -> Iterator[tuple[str, str]]:
    for name in sorted(worker.__all__):
        value = getattr(worker, name)
        if inspect.isclass(value) and issubclass(value, WorkerError) and value is not WorkerError:
            yield name, (inspect.getdoc(value) or "").partition("\n")[0]


TABLES: Final[dict[str, tuple[str, Callable[[], Iterator[tuple[str, str]]]]]] = {
    "reasons": ("reason | meaning", reasons),
    "causes": ("cause | could not", causes),
    "classes": ("error | means", classes),
}
