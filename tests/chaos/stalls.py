"""Measure how long what happens to workers and servers holds up events, partition by partition, at a steady rate.

`python -m tests.chaos.stalls`: one worker, two, three, two again; then a kill, and a restart of PostgreSQL.
"""

import argparse
import signal
import sys
import tempfile
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median

import orjson
from confluent_kafka import OFFSET_END, Consumer, Message, Producer, TopicPartition

from tests.acceptance.deployment import wait_until
from tests.chaos.flow import CLIENT, Looping
from tests.chaos.history import History
from tests.chaos.site import Shape, Site, kill, running_site
from tests.workload import Order
from worker.terminal.signals import sigterm_interrupts

TICK_SECONDS = 0.025
STEADY_SECONDS = 8.0
SETTLE_SECONDS = 60.0
READ_SECONDS = 0.005

COSTLY = ("sent_again", "unsettled", "fencing", "lost")
"""What workers tell of that holds up events: a transaction sent again, partitions taken again, another's fenced."""


@dataclass(slots=True)
class Load(Looping):
    """Start one order on every partition at each tick; `sent` has where and when, by the event's id."""

    site: Site
    sent: dict[str, tuple[int, float]] = field(default_factory=dict)
    _number: int = 0
    _client: Producer = field(init=False)

    def __post_init__(self) -> None:
        servers = self.site.cluster.bootstrap_servers
        self._client = Producer({**CLIENT, "bootstrap.servers": servers, "linger.ms": 0})

    def turn(self) -> None:
        begun = time.monotonic()
        for partition in range(self.site.partitions):
            order = Order(self._number)
            self._number += 1
            record = order.record(0)
            self.sent[f"{order.id}-0"] = (partition, time.time())
            self._client.produce(self.site.topics.input, record.value, record.key, partition=partition)
        self._client.poll(0)
        time.sleep(max(TICK_SECONDS - (time.monotonic() - begun), 0))

    def finish(self) -> None:
        self._client.flush(SETTLE_SECONDS)


@dataclass(frozen=True, slots=True)
class Came:
    """An output that a reader of committed records got: when, and how long after its event was sent."""

    at: float
    latency: float


@dataclass(slots=True)
class Watch(Looping):
    """Note each output as soon as it is visible, by the partition of its event."""

    site: Site
    sent: Mapping[str, tuple[int, float]]
    came: dict[int, list[Came]] = field(default_factory=lambda: defaultdict(list))
    _client: Consumer = field(init=False)

    def __post_init__(self) -> None:
        self._client = Consumer(
            {
                **CLIENT,
                "bootstrap.servers": self.site.cluster.bootstrap_servers,
                "group.id": "stalls",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 20,
            }
        )
        topic = self.site.topics.domain("default")
        self._client.assign([TopicPartition(topic, one, OFFSET_END) for one in range(self.site.partitions)])

    def turn(self) -> None:
        for message in self._client.consume(500, READ_SECONDS):
            if message.error() is None:
                self._note(message)

    def finish(self) -> None:
        self._client.close()

    def _note(self, message: Message) -> None:
        cause = orjson.loads(message.value() or b"{}").get("parentid")
        if cause in self.sent:
            partition, sent_at = self.sent[cause]
            now = time.time()
            self.came[partition].append(Came(now, now - sent_at))


@dataclass(frozen=True, slots=True)
class Change:
    """Something that was done, when, who owned which partition before and after, and what workers told meanwhile."""

    name: str
    begun: float
    done: float
    before: Mapping[int, str]
    after: Mapping[int, str]
    told: Counter[str]

    @property
    def untouched(self) -> list[int]:
        return [one for one, owner in self.before.items() if self.after.get(one) == owner]

    @property
    def moved(self) -> list[int]:
        return [one for one, owner in self.before.items() if self.after.get(one) != owner]


def worst(came: Sequence[Came], start: float, end: float) -> tuple[float, float]:
    """Give the largest gap between two outputs, and the largest latency, in milliseconds."""
    first = max(bisect_left(came, start, key=lambda one: one.at) - 1, 0)
    near = [one for one in came[first:] if one.at <= end]
    gaps = [later.at - earlier.at for earlier, later in pairwise(near)]
    return max(gaps, default=0.0) * 1e3, max((one.latency for one in near), default=0.0) * 1e3


@dataclass(slots=True)
class Stalls:
    """Do one thing after another under load, and tell what each held up."""

    site: Site
    load: Load = field(init=False)
    watch: Watch = field(init=False)
    changes: list[Change] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.load = Load(self.site)
        self.watch = Watch(self.site, self.load.sent)

    def run(self) -> None:
        self._scale([1])
        self.watch.start()
        self.load.start()
        time.sleep(STEADY_SECONDS)
        self._change("nothing", lambda: None)
        self._change("one worker → two", lambda: self._scale([1, 2]))
        self._change("two → three", lambda: self._scale([1, 2, 3]))
        self._change("three → two", lambda: self._scale([1, 3]))
        self._change("kill -9 of one of two", self._kill)
        self._change("restart of PostgreSQL", self._restart_database)
        self.load.close()
        time.sleep(1)
        self.watch.close()

    def lines(self) -> Iterator[str]:
        yield f"{'':<24} {'partitions':>20} {'longest gap':>12} {'latency':>10}"
        for change in self.changes:
            told = ", ".join(f"{event} {count}" for event, count in sorted(change.told.items()))
            for name, partitions in (("untouched", change.untouched), ("moved", change.moved)):
                if partitions:
                    found = [worst(self.watch.came[one], change.begun, change.done) for one in partitions]
                    gap, latency = max(gap for gap, _ in found), max(latency for _, latency in found)
                    yield f"{change.name:<24} {len(partitions):>10} {name:<9} {gap:>9.0f} ms {latency:>7.0f} ms  {told}"
        yield f"median latency: {median(one.latency for came in self.watch.came.values() for one in came) * 1e3:.0f} ms"

    def _change(self, name: str, do: Callable[[], None]) -> None:
        before, told, begun = self._owners(), self._told(), time.time()
        do()
        time.sleep(STEADY_SECONDS)
        self.changes.append(Change(name, begun, time.time(), before, self._owners(), self._told() - told))
        print(f"… {name}: {time.time() - begun:.1f} s", flush=True)

    def _scale(self, numbers: Sequence[int]) -> None:
        for slot in self.site.slots:
            slot.wanted.set() if slot.number in numbers else slot.wanted.clear()
        self.site.wait_until_wanted()
        wait_until(
            lambda: self._shared_by(len(numbers)), SETTLE_SECONDS, f"{len(numbers)} workers share all partitions"
        )

    def _kill(self) -> None:
        worker = next(slot.current for slot in reversed(self.site.slots) if slot.current)
        assert worker is not None
        self.site.slots[-1].wanted.clear()
        kill(worker)
        wait_until(lambda: self._shared_by(1), SETTLE_SECONDS, "the other worker serves all partitions")

    def _restart_database(self) -> None:
        self.site.end_database(signal.SIGINT)
        time.sleep(1)
        self.site.postgres.start()
        back_at = time.time()
        print(f"… PostgreSQL is back {self._first_after(back_at) - back_at:.2f} s before the first output", flush=True)

    def _first_after(self, moment: float) -> float:
        def first() -> float:
            return min(
                (one.at for came in self.watch.came.values() for one in came[-50:] if one.at > moment), default=0
            )

        wait_until(lambda: first() > 0, SETTLE_SECONDS, "there is an output again")
        return first()

    def _told(self) -> Counter[str]:
        workers = [worker for slot in self.site.slots for worker in slot.workers]
        return Counter({event: sum(len(worker.told(event)) for worker in workers) for event in COSTLY})

    def _owners(self) -> dict[int, str]:
        with self.site.connect() as connection:
            return dict(connection.execute("SELECT partition, owner FROM positions WHERE owner IS NOT NULL").fetchall())

    def _shared_by(self, count: int) -> bool:
        owners = self._owners()
        return len(owners) == self.site.partitions and len(set(owners.values())) == count


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.chaos.stalls", description=__doc__)
    parser.add_argument("--brokers", type=int, default=1, choices=(1, 3), help="default: %(default)s")
    parser.add_argument("--partitions", type=int, default=6, help="default: %(default)s")
    parser.add_argument("--session", type=float, default=6, help="session time-out, seconds (default: %(default)s)")
    parser.add_argument("--setting", action="append", default=[], metavar="WORKER_NAME=VALUE")
    chosen = parser.parse_args()
    settings = dict(one.split("=", 1) for one in chosen.setting)
    shape = Shape(chosen.brokers, 3, chosen.partitions, chosen.session, settings, proxied=False)
    with (
        sigterm_interrupts(),
        tempfile.TemporaryDirectory(prefix="orchestrator-worker-stalls-") as folder,
        History(Path(folder) / "history.ndjson") as history,
    ):
        Path(folder).chmod(0o755)
        with running_site(shape, Path(folder), history) as site:
            stalls = Stalls(site)
            stalls.run()
            print("\n".join(stalls.lines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
