"""Wait until what instances started is there: published by the workers, and applied by them.

A transaction's markers take offsets that no record has, so what is applied can't be held against a topic's end: the
last records are looked up.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from worker.adapters.kafka.clients import KafkaConfig
from worker.adapters.kafka.dead_letters import DeadLetterTopic
from worker.adapters.kafka.offsets import GroupWatch
from worker.adapters.postgres.control_rows import ControlRows, Place


@dataclass(frozen=True, slots=True)
class Workers:
    """A deployment's workers, seen from outside. All calls raise KafkaUnavailable, DatabaseUnavailable."""

    kafka: KafkaConfig
    topic: str
    group_id: str
    rows: ControlRows

    def have_published(self, below: Mapping[int, int]) -> bool:
        """Tell whether all that records below these offsets caused is out: the group's offsets go with it."""
        if not below:
            return True
        group = GroupWatch(self.kafka, self.group_id)
        return _reached(group.committed(self.topic, list(below), stable=False), below)

    def have_applied(self, below: Mapping[int, int]) -> bool:
        """Tell whether all records below these offsets are applied."""
        return _reached(self.rows.applied(), below)

    def to_apply(self) -> Mapping[int, int]:
        """Give the offset behind the last record of each partition that has some which are not applied.

        Waits for transactions that are open in the topic.
        """
        applied = self.rows.applied()
        with DeadLetterTopic(self.kafka, self.topic, f"{self.group_id}-settling") as reader:
            extent = reader.extent()
            starts = {one: max(applied.get(one, 0), first) for one, first in extent.firsts.items()}
            return {record.partition: record.offset + 1 for record in reader.read(starts, extent.ends)}


def settling(workers: Workers, places: Sequence[Place]) -> Iterator[None]:
    """Look until all that the records at these places started is applied: an item is a look that found it is not."""
    below = {partition: offset + 1 for partition, offset in sorted(places)}
    while not workers.have_published(below):
        yield
    last = workers.to_apply()
    while not workers.have_applied(last):
        yield


def _reached(offsets: Mapping[int, int | None], needed: Mapping[int, int]) -> bool:
    return all((offsets.get(partition) or 0) >= offset for partition, offset in needed.items())
