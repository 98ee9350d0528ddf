"""A record: what Kafka carries, without Kafka."""

from dataclasses import dataclass
from typing import Final

from worker.core.frozen import maker_of

RECORD_OVERHEAD_BYTES = 128
"""What Kafka adds to one record and its batch, at most."""

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the input topic. `timestamp` is in milliseconds since the epoch.

    `fault` says what of the record could not be read; whatever the rest says, it is no event then.
    """

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """One record to be published."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers

    def size(self) -> int:
        """Bound what the record takes in a broker's log, uncompressed, in bytes."""
        size = RECORD_OVERHEAD_BYTES + len(self.key or b"") + len(self.value or b"")
        for name, value in self.headers:
            size += len(name) + len(value or b"") + 8
        return size


record_of: Final = maker_of(Record)
output_of: Final = maker_of(Output)
"""Make them quickly, of the same arguments."""
