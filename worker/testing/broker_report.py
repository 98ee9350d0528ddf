"""What happened in a broker, written down for a person who looks at a failed test."""

from collections.abc import Iterator
from typing import Final

from worker.core.instances import Instance, Status
from worker.core.outcomes import Advanced
from worker.testing.configurations import innermost
from worker.testing.deliveries import Delivery
from worker.testing.exchange import Exchange
from worker.testing.texts import CONTEXT_CHARACTERS_MAX, data_text, emitted_text, event_text, outcome_text

DELIVERIES_SHOWN_MAX: Final = 30


def broker_report(exchange: Exchange, subject: str | None) -> str:
    """Write the last deliveries, what waits, dead letters and errors; of one instance, where it stands too."""
    standing = [] if subject is None else [_standing(exchange, subject)]
    return "\n".join([*standing, *_deliveries(exchange), *_left_over(exchange)])


def _standing(exchange: Exchange, subject: str) -> str:
    instance = exchange.instance(subject)
    if instance is None:
        return "  It never started: no instance has its subject."
    context = data_text(instance.snapshot.context, CONTEXT_CHARACTERS_MAX)
    return f"  It {_state(exchange, instance)}, with the context {context}"


def _state(exchange: Exchange, instance: Instance) -> str:
    if instance.status is not Status.ACTIVE:
        return f"is {instance.status.value}"
    hosted = exchange.deployment.resolve(instance.source, instance.version)
    active = instance.snapshot.configuration
    return f"stands in {', '.join(innermost(hosted.machine.chart, active) if hosted else active)}"


def _deliveries(exchange: Exchange) -> Iterator[str]:
    shown = exchange.deliveries[-DELIVERIES_SHOWN_MAX:]
    left_out = len(exchange.deliveries) - len(shown)
    yield f"  Deliveries{f' (the last {len(shown)}; {left_out} came before)' if left_out else ''}:"
    for number, delivery in enumerate(shown, left_out + 1):
        yield f"    {number}. {event_text(delivery.event)}"
        yield f"       to {delivery.receiver}{_came_of(exchange, delivery)}"
        yield from (f"       + {emitted_text(one)}" for one in delivery.published)
    if not shown:
        yield "    none"


def _came_of(exchange: Exchange, delivery: Delivery) -> str:
    match delivery.outcome:
        case None:
            return ""
        case Advanced(instance=instance):
            return f", which {_state(exchange, instance)}"
        case outcome:
            return f": {outcome_text(outcome)}"


def _left_over(exchange: Exchange) -> Iterator[str]:
    for domain in exchange.domains:
        waiting = exchange.waiting.get(domain)
        if waiting:
            yield f"  Waiting in {domain}:"
            yield from (f"    {event_text(event)}, to {event.to}" for event in waiting)
    if exchange.dead_letters:
        yield "  Dead letters:"
    for letter in exchange.dead_letters:
        yield f"    {letter.reason.value} {event_text(letter.event)}: {letter.error_message}"
    if exchange.errors:
        yield "  Errors:"
    for fault in exchange.errors:
        yield f"    {fault.event.type}: {type(fault.error).__name__}: {fault.error}"
