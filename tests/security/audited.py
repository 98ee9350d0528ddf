"""Run steps on texts that look like code, and print what was asked of the interpreter that has to do with them.

Run as a program: what watches an interpreter can't be taken off it again.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import CodeType
from typing import Any

from machines.order import machine
from tests.workload import STATES, Order
from worker.core.codec import decode_record
from worker.core.engine.api import Snapshot
from worker.core.engine.compiled.program import CompiledEngine
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.events import Event
from worker.core.instances import Instance
from worker.core.outcomes import Advanced
from worker.core.records import Headers
from worker.core.registry import Registry
from worker.core.snapshots import decode_snapshot, encode_snapshot
from worker.core.step import Host, StepRequest, run_step
from worker.core.subjects import decode_subject, root_subject

MARK = "evaluated"
"""Stands in every text: what has it was made of one."""

CODE = (
    "__import__('os').system('touch evaluated')",
    "exec('evaluated = 1')",
    "{0.__class__.__mro__} {event.data[evaluated]} %(evaluated)s %s %n",
    "{{ 7 * 7 }} ${7 * 7} #{7 * 7} $(touch evaluated) `touch evaluated`",
    "'; DROP TABLE evaluated; --",
    "!!python/object/apply:os.system [touch evaluated]",
    "cos\nsystem\n(S'touch evaluated'\ntR.",
    "${jndi:ldap://127.0.0.1:1/evaluated} ../../../../etc/evaluated",
    "True or evaluated",
    "evaluated",
)
WATCHED = frozenset(("compile", "exec", "import", "open", "os.system", "subprocess.Popen", "pickle.find_class"))
NOW = 1_767_323_045_678


def main(*, evaluates: bool) -> None:
    """Print what was asked of the interpreter that has to do with a text, then what each step came to."""
    told: list[str] = []
    is_watching = False

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if is_watching and event in WATCHED and _has_mark(arguments):
            told.append(f"{event} {arguments!r:.200}")

    hosts = [Host(Registry([machine], engine)) for engine in (CompiledEngine(), SismicEngine())]
    sys.addaudithook(watch)
    is_watching = True
    outcomes = [kind for host in hosts for text in CODE for kind in _run(host, text)]
    if evaluates:
        eval(f"len({MARK!r})")  # noqa: S307 - Shows that it would be seen.
    is_watching = False
    print("\n".join((*told, *outcomes)))


def _has_mark(arguments: object) -> bool:
    match arguments:
        case str():
            return MARK in arguments
        case bytes():
            return MARK.encode() in arguments
        case tuple() | list():
            return any(map(_has_mark, arguments))
        case CodeType():
            return _has_mark((arguments.co_consts, arguments.co_names))
    return False


def _run(host: Host, text: str) -> Iterator[str]:
    """Run an order whose every text is this one, then steps on snapshots that were tampered with."""
    instance: Instance | None = None
    for number in range(len(STATES)):
        event = _hostile(number, text)
        outcome = _step(host, event, instance)
        if isinstance(outcome, Advanced):
            instance = replace(outcome.instance, snapshot=decode_snapshot(encode_snapshot(outcome.instance.snapshot)))
            if number == 0:
                for tampered in _tampered(instance, text):
                    yield type(_step(host, _hostile(1, text), tampered)).__name__
        yield type(outcome).__name__


def _step(host: Host, event: Event, instance: Instance | None) -> object:
    try:
        return run_step(host, StepRequest(event, decode_subject(event.subject), instance, None, NOW))
    except Exception as error:  # noqa: BLE001 - Whatever it is, it is to be told.
        return error


def _hostile(number: int, text: str) -> Event:
    """Give an event of the workload with the text wherever a sender may put one."""
    record = Order(1).record(number)
    headers: Headers = (*record.headers, ("x-code", text.encode()), (text, b"1"))
    event = decode_record(record.value, headers)
    subject = root_subject(
        name=event.to or "",
        version="1.0.0",
        initiator="com.example.shop",
        execution_id=text.replace(";", ","),
        meta={text: text, "redirectto": text},
    )
    data: dict[str, Any] = {name: text if isinstance(value, str) else value for name, value in event.data.items()}
    if "items" in data:
        data["items"] = [{"sku": text, "qty": 1}]
    return replace(event, subject=subject, data=data, accesscontrol=text, tracestate=None, parentid=text)


def _tampered(instance: Instance, text: str) -> Iterator[Instance]:
    """Give instances whose snapshots say the text: as a state, a history, a value, a name."""
    before = instance.snapshot
    context = dict.fromkeys(before.context, text)
    changes: tuple[Mapping[str, Any], ...] = (
        {"configuration": (*before.configuration, text)},
        {"configuration": (text,)},
        {"history": {text: (text,)}},
        {"context": {**context, text: text}},
        {"remembered": {text: {text: text}}},
        {"init": {text: text}},
    )
    for change in changes:
        parts = {
            name: change.get(name, getattr(before, name))
            for name in ("configuration", "context", "init", "history", "remembered", "output")
        }
        yield replace(instance, snapshot=Snapshot(**parts))


if __name__ == "__main__":
    main(evaluates="--evaluate" in sys.argv)
