"""Applying a batch: its one transaction in PostgreSQL, around its steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from worker.core.records import Record
from worker.ports import Database
from worker.runtime.arrivals import Condemned, decode, wanted
from worker.runtime.batch import Found, Limits, Run, Setting
from worker.runtime.partitions import Partition


@dataclass(frozen=True, slots=True)
class Applier:
    """Apply batches under the name of `owner`. `waits` tells which records wait for a version of their machine."""

    setting: Setting
    database: Database
    owner: str
    waits: Callable[[Record, str, str], bool]

    def apply(
        self, records: Sequence[Record], partitions: Sequence[Partition], condemned: Condemned, limits: Limits
    ) -> Run:
        """Apply records, which are of these partitions, and give what came of them.

        Raises: DatabaseUnavailable, PositionMoved, BatchTooLarge, BatchRefused, RevisionMismatch.
        """
        database, stage = self.database, self.setting.stages.stage
        with stage("decode"):
            decoded = [decode(record, condemned) for record in records]
        asked = wanted(decoded, {one.number: one.next_offset for one in partitions})
        with stage("postgres"):
            seen = database.lock(self.owner, asked)
        try:
            with stage("postgres"):
                found = Found(seen, database.read(asked.digests))
            run = Run(self.setting, limits, found, self.waits)
            run.run(decoded)
            if not run.next_offsets:
                database.roll_back()
                return run
            writes = run.writes({one.number: one.published_offset for one in partitions})
            with stage("postgres"):
                database.write(writes)
        except BaseException:
            database.roll_back()
            raise
        with stage("postgres"):
            database.commit()
        return run
