"""What a service's function may know of a request beside its data."""

from dataclasses import dataclass, field
from datetime import datetime

from worker.core.digests import DerivedIds
from worker.core.events import Event


@dataclass(frozen=True, slots=True)
class Request:
    """One request, the same at each of its deliveries.

    Requests are delivered at least once: after a crash the function runs again. `key`, `new_id()` and `now` are the
    same then. Give `key` to whatever has an effect elsewhere (an idempotency key, a unique column), and the effect
    happens once. `now` is the time of the request's record, in UTC.
    """

    event: Event
    now: datetime
    _ids: DerivedIds = field(repr=False)

    @property
    def key(self) -> str:
        """Give the UUID that the request's side effects are told by: no other request has it."""
        return self._ids.request()

    def new_id(self) -> str:
        """Give a UUID, another one at each call; the n-th call gives the same at each delivery."""
        return self._ids.new_id()
