"""What became of control records, and how far workers have come: what `worker instances cancel` waits for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from worker.adapters.postgres.session import DatabaseConfig, Session

# A record that killed its workers became a dead letter unseen: the journal has no id of it.
_OUTCOMES: Final = """
SELECT row.partition, row.record_offset, row.outcome, row.reason, row.error_message
FROM journal AS row
JOIN unnest(%s::int[], %s::bigint[], %s::text[]) AS sent (partition, record_offset, event_id)
    ON row.partition = sent.partition AND row.record_offset = sent.record_offset
WHERE row.day >= current_date - 1 AND coalesce(row.event_id, sent.event_id) = sent.event_id
ORDER BY row.recorded_at
"""

_APPLIED: Final = "SELECT partition, next_offset FROM positions"

Place = tuple[int, int]
"""Partition and offset."""


@dataclass(frozen=True, slots=True)
class Journalled:
    """What the journal says of a record."""

    outcome: str
    reason: str | None
    message: str | None


class ControlRows:
    """Read the journal and the positions. All calls raise DatabaseUnavailable and DatabaseRefused."""

    def __init__(self, config: DatabaseConfig, application_name: str) -> None:
        self._session: Final = Session(config, application_name)

    def outcomes(self, sent: Mapping[Place, str]) -> Mapping[Place, Journalled]:
        """Give what came of records, by their places; those that the journal does not have yet are left out.

        The values are the records' ids: a topic made anew has others at the same places.
        """
        places: Sequence[Place] = list(sent)
        rows = self._session.rows(
            _OUTCOMES, ([one for one, _ in places], [offset for _, offset in places], list(sent.values()))
        )
        return {(partition, offset): Journalled(*told) for partition, offset, *told in rows}

    def applied(self) -> Mapping[int, int]:
        """Give the offset below which each partition's records are applied."""
        return dict(self._session.rows(_APPLIED))

    def close(self) -> None:
        """Close the connection; never fails."""
        self._session.close()
