"""One worker's membership in the group: the port `Consumer`."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from tests.simulation.servers.faults import Busy, Hook
from tests.simulation.servers.group import Member, SimMembership
from tests.simulation.servers.kafka import SimKafka
from worker.core.records import Record
from worker.ports import KafkaUnavailable, Membership, OffsetUnavailable, Rebalances, Standing

Answer = TypeVar("Answer")


class SimConsumer:
    """Read the input topic; callbacks run within `poll` and `close`.

    Records come from the partitions in turn, so that one call mixes them. `responsive` says whether the client's own
    threads run.
    """

    def __init__(self, kafka: SimKafka, hook: Hook, responsive: Callable[[], bool] = lambda: True) -> None:
        self._kafka = kafka
        self._hook = hook
        self._responsive = responsive
        self._rebalances: Rebalances | None = None
        self._at: dict[int, int] = {}
        self._paused: set[int] = set()
        self._member: Member | None = None
        self.hears_when_it_polls = True
        """Whether the client learns at each poll that it is no member any more, instead of by `hear` alone."""

    @property
    def assigned(self) -> set[int]:
        return set(self._at)

    @property
    def reading(self) -> set[int]:
        return self.assigned - self._paused

    @property
    def is_member(self) -> bool:
        """Whether the group counts this client among its members."""
        return self in self._kafka.group.members

    @property
    def is_current(self) -> bool:
        """Whether this client takes itself for a member."""
        return self._member is not None

    def hear(self) -> None:
        """Learn, if it is so, that the group does not know this member any more."""
        if not self.is_member:
            self._member = None

    def join(self, rebalances: Rebalances) -> None:
        self._rebalances = rebalances
        self._member = self._kafka.group.join(self, self._responsive)

    def poll(self, records_max: int, wait_seconds: float) -> Sequence[Record]:
        assert records_max > 0
        self._serve()
        received = self._hook.call("poll", lambda: self._gather(records_max))
        self._at |= {record.partition: record.offset + 1 for record in received}
        if not received:
            self._hook.wait(wait_seconds)
        return received

    def go_on(self, partition: int, offset: int) -> None:
        assert partition in self._at, "the partition is not assigned"
        self._hook.call("go_on", lambda: None, partition, offset)
        self._at[partition] = offset
        self._paused.discard(partition)

    def pause(self, partitions: Sequence[int]) -> None:
        assert set(partitions) <= self._at.keys(), "a partition is not assigned"
        self._paused |= set(partitions)

    def membership(self) -> Membership:
        return self._hook.call("membership", self._proof)

    def topic_id(self) -> str:
        return self._ask("topic_id", lambda: self._kafka.topic_id)

    def standings(self, partitions: Sequence[int]) -> Mapping[int, Standing]:
        return self._ask("standings", lambda: {one: self._kafka.standing(one) for one in partitions})

    def close(self) -> None:
        self._hook.call("leave", lambda: None)
        self._revoke(self.assigned)
        self._kafka.group.remove(self)
        self._member = None

    # The group

    def _proof(self) -> SimMembership:
        if self._member is None:
            raise KafkaUnavailable("the group does not count this worker among its members now")
        return SimMembership(self._member.id, self._member.generation)

    def _serve(self) -> None:
        assert self._rebalances is not None
        if self.hears_when_it_polls:
            self.hear()
        if self._member is None:
            self._lose()
            self._member = self._kafka.group.join(self, self._responsive)
        self._revoke(self.assigned - self._member.assigned)
        fresh = sorted(self._member.assigned - self.assigned) if self.is_current else []
        if fresh:
            self._at |= dict.fromkeys(fresh, 0)
            self._paused |= set(fresh)
            self._member.owned |= set(fresh)
            self._rebalances.assigned(fresh)

    def _lose(self) -> None:
        assert self._rebalances is not None
        lost = sorted(self._at)
        if lost:
            # While the callback runs the client still has them.
            self._rebalances.lost(lost)
        self._forget(lost)

    def _revoke(self, partitions: set[int]) -> None:
        if self.hears_when_it_polls:
            self.hear()
        if self._member is None:
            self._lose()
            return
        if not partitions:
            return
        assert self._rebalances is not None
        self._rebalances.revoked(sorted(partitions))
        self._forget(partitions)
        # Time may have passed within the callback, and the group gone on without this member.
        if self._member is not None:
            self._member.owned -= partitions
            self._kafka.group.rebalance()

    def _forget(self, partitions: set[int] | list[int]) -> None:
        for partition in partitions:
            del self._at[partition]
        self._paused -= set(partitions)

    # Records

    def _gather(self, records_max: int) -> list[Record]:
        received: list[Record] = []
        at = {partition: self._at[partition] for partition in sorted(self.reading)} if self._kafka.is_available else {}
        streams = {partition: self._kafka.readable(partition, offset) for partition, offset in at.items()}
        turn = 0
        while len(received) < records_max and (turns := [one[turn] for one in streams.values() if len(one) > turn]):
            received += turns[: records_max - len(received)]
            turn += 1
        if not received:
            self._raise_if_out_of_range(at)
        return received

    def _raise_if_out_of_range(self, at: Mapping[int, int]) -> None:
        for partition, offset in at.items():
            if not self._kafka.first_offsets[partition] <= offset <= self._kafka.log_end(partition):
                raise OffsetUnavailable(partition, "offset out of range")

    def _ask(self, name: str, question: Callable[[], Answer]) -> Answer:
        def answered() -> Answer:
            if not self._kafka.is_available:
                raise Busy(KafkaUnavailable(f"{name}: no broker answers"))
            return question()

        return self._hook.call(name, answered)
