"""Read single records from the journal: those that no topic of dead letters could take."""

from typing import Any, Final

from worker.adapters.postgres.frames import unpack_headers, unpack_outputs
from worker.adapters.postgres.session import DatabaseConfig, Session
from worker.core.records import Output

# A topic made anew has its own record at the same offset: which is meant is for the reader to tell, by its digest.
_RECORDS: Final = """
SELECT record_key, event, event_headers, outputs FROM journal WHERE partition = %s AND record_offset = %s
"""


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
        key, value, headers, outputs = row
        record = Output(self._input_topic, key, value, unpack_headers(headers))
        return [record, *(unpack_outputs(outputs) if outputs else ())]
