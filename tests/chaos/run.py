"""One run: start everything, let it flow and break, heal, drain, read it all, compare, and tell."""

import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from shutil import rmtree

import orjson
import psycopg
from confluent_kafka import KafkaException

from tests.acceptance.deployment import Deployment, wait_until
from tests.chaos import pauses
from tests.chaos.checker import VERDICTS, Checker, Verdict, Violation, counts
from tests.chaos.collect import feed, replayed
from tests.chaos.flow import Flow
from tests.chaos.history import History, followed
from tests.chaos.nemesis import FAULTS, LANES, Fault, Nemesis, Struck
from tests.chaos.records import place_text
from tests.chaos.script import Script
from tests.chaos.site import PREFIX, Shape, Site, running_site

DRAIN_SECONDS = 300.0
VIOLATIONS_OF_A_VERDICT = 2
JOURNAL = """
SELECT partition, record_offset, outcome, reason, revision, event_id, now_ms, recorded_at, subject_digest
FROM journal ORDER BY partition, record_offset
"""
REPLAYED_RECORDS_MAX = 100_000
QUIET_EVENTS = frozenset({"dead_letter", "running", "stopped"})
"""Those that tell nothing of faults: garbage is sent on purpose."""
SECONDS_OF_A_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a run is asked to do."""

    minutes: float
    seed: int
    shape: Shape = field(default_factory=Shape)
    faults: Sequence[Fault] = FAULTS
    lanes: int = LANES
    added_partitions: int = 0
    replayed_records_max: int = REPLAYED_RECORDS_MAX
    keep: bool = False


@dataclass(slots=True)
class Result:
    """What a run came to."""

    inputs: int
    outputs: int
    verdicts: dict[Verdict, int]
    violations: list[Violation]
    lines: list[str]
    folder: Path

    @property
    def summary(self) -> str:
        told = ", ".join(f"{verdict} {count}" for verdict, count in self.verdicts.items())
        return f"inputs {self.inputs}, outputs {self.outputs}, {told}"

    @property
    def is_good(self) -> bool:
        return not self.violations


def run(wishes: Wishes, say: Callable[[str], None] = print) -> Result:
    """Run, and say what is done; the folder is kept if something is wrong."""
    folder = Path(tempfile.mkdtemp(prefix="orchestrator-worker-chaos-"))
    folder.chmod(0o755)
    say(f"seed {wishes.seed}; histories and logs are in {folder}")
    with History(folder / "history.ndjson") as history, running_site(wishes.shape, folder, history) as site:
        result = _Run(wishes, site, history, say).run()
    if result.is_good and not wishes.keep:
        rmtree(folder, ignore_errors=True)
    return result


@dataclass(slots=True)
class _Run:
    """The parts of a run, and its steps in their order."""

    wishes: Wishes
    site: Site
    history: History
    say: Callable[[str], None]
    script: Script = field(init=False)
    flow: Flow = field(init=False)
    nemesis: Nemesis = field(init=False)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.script = Script(random.Random(f"{self.wishes.seed}-script"))
        self.flow = Flow.through(self.site, self.script, self.history)
        self.nemesis = self._nemesis(self.wishes.seed)

    def run(self) -> Result:
        self.site.want(len(self.site.slots))
        self.site.wait_until_wanted()
        self.flow.start()
        self.say(f"breaking things for {self.wishes.minutes:g} minutes …")
        self._break()
        self.say("healing and draining …")
        self._drain()
        self.say("reading and comparing …")
        return self._compare()

    # Breaking and healing

    def _break(self) -> None:
        seconds = self.wishes.minutes * SECONDS_OF_A_MINUTE
        if not self.wishes.added_partitions:
            self.nemesis.run(seconds)
            return
        self.nemesis.run(seconds / 2)
        self._add_partitions()
        before, self.nemesis = self.nemesis, self._nemesis(self.wishes.seed + 1)
        self.nemesis.struck += before.struck
        self.nemesis.run(seconds / 2)

    def _nemesis(self, seed: int) -> Nemesis:
        return Nemesis(self.site, self.history, seed, self.wishes.faults, self.wishes.lanes)

    def _add_partitions(self) -> None:
        before, self.site.partitions = self.site.partitions, self.site.partitions + self.wishes.added_partitions
        begun = time.time()
        # Outputs first: nobody produces to the partitions of a topic that are not there.
        for topic in (*self.site.output_topics, self.site.topics.input):
            self.site.cluster.add_partitions(topic, self.site.partitions)
        self.flow.reader.watch(range(before, self.site.partitions))
        struck = Struck("add partitions", f"{before} to {self.site.partitions}", begun, time.time())
        self.nemesis.struck.append(struck)
        self.history.add("fault", begun, name=struck.name, phase="begun", detail=struck.detail)

    def _drain(self) -> None:
        """Wait until all is applied, published and seen, and end all workers."""
        self.site.heal()
        self._close(self.flow.feeder.close, "the producer")
        self.failures += self.flow.feeder.failures
        try:
            self.site.want(len(self.site.slots))
            self.site.wait_until_wanted()
            wait_until(self._is_drained, DRAIN_SECONDS, "everything is applied, published and seen")
        except TimeoutError as error:
            self.failures.append(f"not drained: {error}: {self._standing()}")
        for part in (self.flow.progress, self.flow.reader):
            self._close(part.close, type(part).__name__)
        self.site.want(0)
        try:
            self.site.wait_until_wanted()
        except TimeoutError as error:
            self.failures.append(str(error))
        # Those before may have been asked while a server was away.
        self.failures += [
            f"worker {slot.number} ended {slot.ends[-1]} at last"
            for slot in self.site.slots
            if slot.ends and slot.ends[-1] != "in order"
        ]

    def _close(self, close: Callable[[], None], what: str) -> None:
        try:
            close()
        except Exception as error:  # noqa: BLE001 - told in the report
            self.failures.append(f"{what}: {type(error).__name__}: {error}")

    def _is_drained(self) -> bool:
        time.sleep(0.5)
        ends = dict(self.flow.reader.input_ends)
        try:
            is_settled = self.site.cluster.is_settled(self.site.all_topics)
            with self.site.connect() as connection:
                rows = connection.execute("SELECT partition, next_offset FROM positions").fetchall()
            committed = self._committed()
        except (KafkaException, psycopg.Error):
            return False
        applied = {partition: offset for partition, offset in rows if partition in ends}
        is_published = all(committed.get(partition, 0) >= offset for partition, offset in applied.items())
        return is_settled and applied == ends == self.flow.reader.input_ends and is_published

    def _committed(self) -> dict[int, int]:
        deployment = Deployment(
            self.site.cluster,
            self.site.postgres.url,
            self.site.folder,
            partitions=self.site.partitions,
            prefix=PREFIX,
        )
        return deployment.committed()

    def _standing(self) -> str:
        with suppress(psycopg.Error), self.site.connect() as connection:
            rows = connection.execute("SELECT * FROM positions ORDER BY partition").fetchall()
            return f"topic {self.flow.reader.input_ends}, positions {rows}"
        return "PostgreSQL does not answer"

    # Comparing

    def _compare(self) -> Result:
        checker = Checker(self.flow.feeder.sent, ordered=not self.wishes.added_partitions)
        feed(checker, self.site, self.script.roots)
        again, differing = 0, list[Violation]()
        if checker.ordered:
            for size, found in replayed(self.site, self.wishes.replayed_records_max):
                again += size
                differing += found
        violations = [
            *(Violation("wrong state", failure) for failure in (*self.failures, *self._positions_left())),
            *checker.violations(),
            *differing,
        ]
        if checker.outputs < self.flow.reader.outputs:
            text = f"{self.flow.reader.outputs} outputs were seen, and {checker.outputs} are there"
            violations.append(Violation("lost", text))
        self._keep_logs()
        lines = [*self._lines(checker, again), *self._shown(violations)]
        return Result(checker.inputs, checker.outputs, counts(violations), violations, lines, self.site.folder)

    def _positions_left(self) -> Iterator[str]:
        """Find partitions that were left with something that is not known to be published.

        One that is left to an owner is told: a worker that is ended while it takes it leaves it to the next to fence.
        """
        with self.site.connect() as connection:
            rows = connection.execute("SELECT partition, next_offset, published_offset, owner FROM positions")
            for partition, next_offset, published_offset, owner in rows:
                if owner is not None:
                    self.say(f"partition {partition} was left to {owner}")
                if next_offset != published_offset:
                    yield f"partition {partition} was left at {next_offset}, {published_offset}, {owner}"

    def _keep_logs(self) -> None:
        """Put the workers' log lines into the history."""
        for slot in self.site.slots:
            for worker in slot.workers:
                for line in worker.log():
                    if line.get("event") not in QUIET_EVENTS:
                        self.history.add("worker", _moment(line), worker=worker.name, **_fields(line))
        self.history.flush()

    def _lines(self, checker: Checker, again: int) -> Iterator[str]:
        struck, reader, idle = self.nemesis.struck, self.flow.reader, self.flow.progress.is_idle
        by_kind = Counter(one.name for one in struck)
        yield f"faults: {', '.join(f'{name} {count}' for name, count in sorted(by_kind.items())) or 'none'}"
        found = pauses.pauses(reader.seen_at, idle)
        yield f"longest stall: {_told(pauses.longest(pauses.whole_pauses(reader.seen_at, idle)), struck)}"
        yield f"longest stall of one partition: {_told(pauses.longest(found), struck)}"
        yield f"events a second: {pauses.rate(self.flow.progress.samples):.0f}"
        yield f"outcomes: {', '.join(f'{name} {count}' for name, count in sorted(checker.outcomes.items()))}"
        yield f"sent twice by the producer's client: {checker.sent_again}"
        yield f"run again through the core: {again} records"
        yield f"ends of workers that were asked: {dict(Counter(end for slot in self.site.slots for end in slot.ends))}"
        yield from (f"trouble of the nemesis: {error}" for error in self.nemesis.errors)
        yield pauses.HEAD
        yield from map(str, pauses.effects(struck, found, reader.seen_at))

    def _shown(self, violations: Sequence[Violation]) -> Iterator[str]:
        if violations:
            _keep_tables(self.site)
            yield f"all logs, the brokers' data and the journal are kept in {self.site.folder}"
        for violation in _first_of_each(violations):
            where = f" at {place_text(violation.place)}" if violation.place is not None else ""
            yield f"{violation.verdict}{where}: {violation.text}"
            yield from (f"    {line}" for line in followed(self.history.path, violation))


def _first_of_each(violations: Sequence[Violation]) -> Iterator[Violation]:
    """Give the first few of each verdict."""
    for verdict in VERDICTS:
        yield from islice((one for one in violations if one.verdict == verdict), VIOLATIONS_OF_A_VERDICT)


def _keep_tables(site: Site) -> None:
    """Write what PostgreSQL has, without the bytes of records."""
    queries = {
        "journal.csv": JOURNAL,
        "positions.csv": "SELECT * FROM positions ORDER BY partition",
        "instances.csv": "SELECT * FROM instances",
    }
    with site.connect() as connection:
        for name, query in queries.items():
            copy = f"COPY ({query}) TO STDOUT WITH (FORMAT csv, HEADER)"
            with (site.folder / name).open("wb") as file, connection.cursor().copy(copy.encode()) as rows:
                for block in rows:
                    file.write(block)


def _moment(line: dict[str, object]) -> float:
    return datetime.fromisoformat(str(line["timestamp"])).timestamp()


def _fields(line: dict[str, object]) -> dict[str, object]:
    known = orjson.loads(orjson.dumps(line, default=str))
    return {name: value for name, value in known.items() if name not in ("timestamp", "at", "what", "worker")}


def _told(pause: pauses.Pause | None, struck: Sequence[Struck]) -> str:
    if pause is None:
        return "none"
    blamed = "; ".join(f"{one.name} ({one.detail})" for one in pauses.followed(pause, struck)) or "no fault"
    partition = "" if pause.partition is None else f" of partition {pause.partition}"
    return (
        f"{pause.seconds:.1f} s{partition} at {time.strftime('%H:%M:%S', time.localtime(pause.start))}, after {blamed}"
    )
