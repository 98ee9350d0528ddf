"""Read single records from the journal: those that no topic of dead letters could take."""

from typing import Any, Final, LiteralString

from worker.adapters.postgres.blocks import HELD, ROW_BYTES, kept
from worker.adapters.postgres.session import DatabaseConfig, Session
from worker.core.records import Output

# A topic made anew has its own record at the same offset: which is meant is for the reader to tell, by its digest.
_RECORDS: Final[LiteralString] = f"""
SELECT {ROW_BYTES} FROM journal AS row {HELD} WHERE row.partition = %s AND row.record_offset = %s
"""  # noqa: S608 - Put together of constants.


class JournalRecords:
    """Read the journal; connects at the first call, as `application_name`."""

    def __init__(self, config: DatabaseConfig, input_topic: str, application_name: str) -> None:
        self._input_topic: Final = input_topic
        self._session: Final = Session(config, application_name)

    def kept(self, partition: int, offset: int) -> list[Output]:
        """Give the input records that stand, or stood, at a place, each with what it caused; none if all are dropped.

        Raises: DatabaseUnavailable, DatabaseRefused.
        """
        rows = self._session.rows(_RECORDS, (partition, offset))
        return [output for row in rows for output in self._outputs(row)]

    def close(self) -> None:
        """Close the connection; never fails."""
        self._session.close()

    def _outputs(self, row: tuple[Any, ...]) -> list[Output]:
        key, value, headers, outputs = kept(row)
        return [Output(self._input_topic, key, value, headers), *outputs]
