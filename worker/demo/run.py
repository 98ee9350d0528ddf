"""The demo: orders flow through a real worker, watched on the topics, and read back by SQL in the end."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from worker.adapters.kafka.producing import EventProducer
from worker.adapters.kafka.tailing import Start, TopicTail
from worker.adapters.postgres.session import DatabaseConfig, Session
from worker.core.errors import WorkerError
from worker.demo.orders import Ending, Orders, make_orders
from worker.demo.playground import Playground, playground
from worker.demo.screen import display, say
from worker.demo.watching import Watch
from worker.terminal.texts import table

TIMEOUT_SECONDS: Final = 45.0
"""What the orders may take, beside a second for every hundred."""

# A moment in which a second completion of an order, which must not come, would come.
AFTERGLOW_SECONDS: Final = 0.5

_ORDERS_PER_SECOND_MIN: Final = 100
_WAIT_SECONDS: Final = 0.1
_FAULTS_SHOWN: Final = 10

_SUMMARY_SQL: Final = """\
SELECT status, output ->> 'status' AS ended_as, output ->> 'reason' AS reason, count(*) AS orders
FROM instance_overview
WHERE context ->> 'order_id' LIKE %s
GROUP BY 1, 2, 3 ORDER BY orders DESC, reason"""
_ENDINGS_SQL: Final = """\
SELECT context ->> 'order_id', output ->> 'status', output ->> 'reason'
FROM instance_overview WHERE context ->> 'order_id' LIKE %s"""


class DemoFailed(WorkerError):
    """Not everything came as it has to; the text says what."""


@dataclass(frozen=True, slots=True)
class _Flow:
    """What passed, and in which time."""

    watch: Watch
    seconds: float

    @property
    def events_per_second(self) -> float:
        return self.watch.total / self.seconds


def run_demo(order_count: int) -> None:
    """Run the demo to its summary line. Raises: DemoFailed, WorkerEnded, and what `playground` raises."""
    with playground(lambda step: say(f"· {step}")) as ground:
        orders = make_orders(order_count, time.time_ns() // 1_000_000)
        say(f"· {order_count} orders go into {ground.deployment.topics.input}, and two bad records among them")
        flow = _flow(ground, orders)
        ends = _show_ends(ground, orders)
        _show_failures(flow.watch)
        faults = flow.watch.faults() + _differences(orders, ends)
        if faults:
            raise DemoFailed(_faults_text(faults))
        say()
        say(_summary(flow, orders))


def _flow(ground: Playground, orders: Orders) -> _Flow:
    """Send the orders and watch what comes of them, until all has come or the time is over."""
    deployment = ground.deployment
    names = deployment.topic_names()
    watch = Watch(orders, deployment.topics, names)
    with TopicTail(deployment.kafka, names, Start.END, f"{deployment.topics.prefix}-demo") as tail:
        begun = time.monotonic()
        _send(ground, orders)
        deadline = begun + TIMEOUT_SECONDS + len(orders.orders) / _ORDERS_PER_SECOND_MIN
        with display(watch) as shown:
            while not watch.is_complete and time.monotonic() < deadline:
                _take(watch, tail)
                ground.check()
                shown.show()
            seconds = time.monotonic() - begun
            late = time.monotonic() + AFTERGLOW_SECONDS
            while time.monotonic() < late:
                _take(watch, tail)
    return _Flow(watch, seconds)


def _send(ground: Playground, orders: Orders) -> None:
    producer = EventProducer(ground.deployment.kafka)
    for output in orders.outputs(ground.deployment.topics.input):
        producer.send(output)
    producer.flush()


def _take(watch: Watch, tail: TopicTail) -> None:
    for received in tail.read(_WAIT_SECONDS):
        watch.take(received)


def _show_ends(ground: Playground, orders: Orders) -> dict[str, Ending]:
    """Show the end states as PostgreSQL has them; give them by order id."""
    pattern = f"{orders.run}-%"
    session = Session(DatabaseConfig(ground.deployment.database.url), "worker demo")
    try:
        summary = _texts(session, _SUMMARY_SQL, pattern)
        ends = _texts(session, _ENDINGS_SQL, pattern)
    finally:
        session.close()
    say()
    say("What PostgreSQL says:")
    say()
    say("\n".join(f"  {line}" for line in _SUMMARY_SQL.replace("%s", f"'{pattern}'").splitlines()))
    say()
    say(table([("STATUS", "ENDED AS", "REASON", "ORDERS"), *summary], indent="  "))
    return {order_id: Ending(status, reason or None) for order_id, status, reason in ends}


def _texts(session: Session, statement: LiteralString, pattern: str) -> list[tuple[str, ...]]:
    return [tuple("" if cell is None else str(cell) for cell in row) for row in session.rows(statement, (pattern,))]


def _show_failures(watch: Watch) -> None:
    say()
    say(f"What went wrong, as it should ({watch.topics.dead_letters} and {watch.topics.domain('default')}):")
    for letter in watch.dead_letters:
        _say_failure(f"dead letter {letter.reason}, {letter.source}", letter.error_message)
    for event in watch.system_errors:
        _say_failure(f"{event.type} to {event.to}", f"{event.data['errorName']}: {event.data['errorMessage']}")


def _say_failure(what: str, text: str) -> None:
    say()
    say(f"  {what}")
    say("\n".join(f"    {line}" for line in text.splitlines()))


def _differences(orders: Orders, ends: dict[str, Ending]) -> list[str]:
    """Say where PostgreSQL has another end than it should: one line for each."""
    expected = {order.order_id: order.ending for order in orders.orders}
    return [
        f"instance of order {order_id}: expected {expected.get(order_id)}, PostgreSQL has {ends.get(order_id)}"
        for order_id in sorted(expected.keys() | ends.keys())
        if expected.get(order_id) != ends.get(order_id)
    ]


def _faults_text(faults: Sequence[str]) -> str:
    shown = [f"  {fault}\n" for fault in faults[:_FAULTS_SHOWN]]
    more = len(faults) - len(shown)
    return "the demo did not come out right:\n" + "".join(shown) + (f"  and {more} more\n" if more > 0 else "")


def _summary(flow: _Flow, orders: Orders) -> str:
    watch = flow.watch
    by_ending = Counter(order.ending for order in orders.orders)
    ends = ", ".join(f"{count} {_ending_text(ending)}" for ending, count in by_ending.most_common())
    return (
        f"demo: {watch.ended} orders ended: {ends}; {len(watch.dead_letters)} dead letter, "
        f"{len(watch.system_errors)} system error; {watch.total} events in {flow.seconds:.1f} s, "
        f"{flow.events_per_second:.0f} events/s; every order has its right end state"
    )


def _ending_text(ending: Ending) -> str:
    return ending.status if ending.reason is None else f"{ending.status} ({ending.reason})"
