"""What must hold at the end of a run, whatever happened in it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from tests.simulation.servers.kafka import Entry
from tests.simulation.watched import Violation, WatchedKafka, WatchedPostgres, refused
from tests.simulation.workload import HOST, LIMITS, ROUTER
from worker.core.instances import Instance
from worker.core.outcomes import DeadLetterReason
from worker.core.records import Output
from worker.core.snapshots import decode_snapshot, encode_snapshot
from worker.ports import JournalRow, Seen
from worker.runtime.arrivals import decode
from worker.runtime.batch import Found, Run, Setting
from worker.runtime.stages import Stages


class RecordedClock:
    """The clock as it was when one record was run."""

    def __init__(self) -> None:
        self.at = 0

    def now_ms(self) -> int:
        return self.at

    def monotonic(self) -> float:
        return self.at / 1000

    def jitter(self) -> float:
        return 1.0

    def limit(self, seconds: float) -> None:
        """Do nothing: what ended then ends now."""


def check(kafka: WatchedKafka, postgres: WatchedPostgres) -> None:
    """Hold everything that is left against everything that came. Raises: Violation."""
    _check_positions(kafka, postgres)
    _check_journal(kafka, postgres)
    _check_outputs(kafka, postgres)
    _check_order(kafka.visible_entries, postgres)
    _check_replay(postgres)


def _check_positions(kafka: WatchedKafka, postgres: WatchedPostgres) -> None:
    for partition in kafka.records:
        row, end = postgres.positions.get(partition), kafka.end(partition)
        if row is None:
            _expect(end == 0, f"partition {partition} was never taken", partition)
            continue
        _expect(
            row.next_offset == kafka.known_published(partition) == max(end, row.next_offset),
            f"partition {partition} ends at {end}, its row is {row}",
            partition,
        )


def _check_journal(kafka: WatchedKafka, postgres: WatchedPostgres) -> None:
    came = {(partition, one.offset): one for partition, records in kafka.records.items() for one in records}
    for place in came.keys() ^ postgres.journal.keys():
        _expect(place not in came, f"record {place} came, and nothing is known of it", *place)
        _expect(place in came, f"the journal knows of record {place}, which no reader sees", *place)
    for place, row in postgres.journal.items():
        _expect(row.record == came[place], f"record {place} is another in the journal", *place)


def _check_outputs(kafka: WatchedKafka, postgres: WatchedPostgres) -> None:
    expected = Counter(output for row in postgres.journal.values() for output in row.outputs)
    causes = {output: row.record for row in postgres.journal.values() for output in row.outputs}
    seen = Counter(kafka.visible)
    stood_for = Counter(map(refused, kafka.visible))
    for output, times in expected.items():
        record = causes[output]
        most = times * (1 + postgres.restores)
        _expect(
            times <= seen[output] + stood_for[output.topic, output.key, output.value] <= most,
            f"an output of record {record.partition}/{record.offset} to {output.topic} is there {seen[output]} times",
            record.partition,
            record.offset,
        )
    strangers = {one for one in seen.keys() - expected.keys() if refused(one) is None}
    _expect(not strangers or bool(postgres.restores), f"{len(strangers)} outputs are there that nothing caused")


def _check_order(entries: Sequence[Entry], postgres: WatchedPostgres) -> None:
    """See that what one instance causes is there in the order of its causes, topic by topic."""
    first_seen: dict[Output, int] = {}
    for index, entry in enumerate(entries):
        first_seen.setdefault(entry.output, index)
    for subject, rows in _by_subject(postgres).items():
        if len({row.record.partition for row in rows}) > 1:
            # Outputs of two input partitions are in no order.
            continue
        reached: dict[str, int] = {}
        for row in rows:
            for output in row.outputs:
                if output not in first_seen:
                    # Its topic refused it.
                    continue
                at = first_seen[output]
                _expect(
                    at > reached.get(output.topic, -1),
                    f"subject {subject!r}: the output of offset {row.record.offset} is before an earlier one's",
                    row.record.partition,
                    row.record.offset,
                )
                reached[output.topic] = at


def _check_replay(postgres: WatchedPostgres) -> None:
    """Run each instance's records again, alone, with the times of then: all must come to the same."""
    for digest, rows in _by_subject(postgres).items():
        replayed = dict(_replayed(digest, rows))
        assert digest is not None
        found, expected = replayed.get(digest), postgres.instances.get(digest)
        _expect(found == expected, f"an instance is {expected}, its journal gives {found}", rows[0].record.partition)


def _replayed(digest: bytes | None, rows: Iterable[JournalRow]) -> Iterator[tuple[bytes, Instance]]:
    clock, instances, seen = RecordedClock(), dict[bytes, Instance](), list[Seen]()
    setting = Setting(HOST, ROUTER, clock, Stages(), 10**9)
    for row in rows:
        clock.at = row.now
        run = Run(setting, LIMITS, Found(seen, instances), lambda *_: False)
        condemned = row.reason in {DeadLetterReason.CRASHED, DeadLetterReason.STORAGE_REFUSED}
        if not condemned:
            run.run([decode(row.record, {})])
            _compare(row, run)
        writes = run.writes({row.record.partition: 0})
        for changed, instance in [*writes.created, *((one[0], one[1]) for one in writes.changed)]:
            instances[changed] = replace(instance, snapshot=decode_snapshot(encode_snapshot(instance.snapshot)))
        if row.consumed:
            assert row.subject_digest and row.event_source and row.event_id and row.content_digest  # noqa: PT018
            seen.append(Seen(row.subject_digest, row.event_source, row.event_id, row.content_digest))
    yield from instances.items()


def _compare(row: JournalRow, run: Run) -> None:
    (again,) = run.writes({row.record.partition: 0}).journal
    _expect(
        again == row,
        f"record {row.record.partition}/{row.record.offset}: the journal says {_told(row)}, "
        f"running it again gives {_told(again)}",
        row.record.partition,
        row.record.offset,
    )


def _told(row: JournalRow) -> str:
    return f"{row.outcome} {row.reason or ''} revision {row.revision} {len(row.outputs)} outputs now {row.now}"


def _by_subject(postgres: WatchedPostgres) -> dict[bytes | None, list[JournalRow]]:
    rows: defaultdict[bytes | None, list[JournalRow]] = defaultdict(list)
    for _, row in sorted(postgres.journal.items(), key=lambda one: (postgres.order[one[0]], one[0])):
        if row.subject_digest is not None:
            rows[row.subject_digest].append(row)
    return rows


def _expect(holds: bool, text: str, partition: int | None = None, offset: int | None = None) -> None:
    if not holds:
        raise Violation(text, partition, offset)
