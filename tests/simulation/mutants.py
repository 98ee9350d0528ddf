"""Deliberate faults in the protocol: each leaves out one rule, and the simulation must find what that does.

They stand around the ports, or take a server's duty away: the runtime itself is the real one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from tests.simulation.deployment import Deployment
from tests.simulation.servers import EMPTY, SimConsumer, SimDatabase, SimPublisher
from tests.simulation.servers.group import SimMembership
from tests.simulation.servers.postgres import Session
from worker.ports import (
    Claim,
    KafkaUnavailable,
    Membership,
    MembershipRefused,
    Position,
    PublicationUnknown,
    Seen,
    Standing,
    Unpublished,
    Wanted,
    Writes,
)
from worker.runtime.loop import Parts


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault, and the weather in which it shows: kinds of faults, if not any, and rates of calls' fates.

    `only` is the one call that these befall; `poison` has an event kill in each run.
    """

    mutate: Callable[[Parts, Deployment], Parts]
    faults: tuple[str, ...] = ()
    rates: Mapping[str, float] = field(default_factory=dict)
    only: str = ""
    poison: bool = False


UNCHANGED: Final = Mutant(lambda parts, _: parts)
"""The protocol as it is."""

Adapter = TypeVar("Adapter")


def _of(port: object, mutant: type[Adapter]) -> Adapter:
    """Make a mutant of a port's adapter, with all that this has."""
    made = mutant.__new__(mutant)
    made.__dict__.update(port.__dict__)
    return made


def offsets_before_database(parts: Parts, deployment: Deployment) -> Parts:
    """Take a COMMIT for done that is only on its way: Kafka's transaction comes before PostgreSQL's."""
    database = _of(parts.database, _CommitsLater)
    return replace(parts, database=database, positions=database)


class _CommitsLater(SimDatabase):
    is_due = False

    def commit(self) -> None:
        self.is_due = True

    def positions(self, partitions: Sequence[int]) -> Mapping[int, Position]:
        self._commit_due()
        return super().positions(partitions)

    def release(self, owner: str, published_offsets: Mapping[int, int]) -> None:
        self._commit_due()
        super().release(owner, published_offsets)

    def note_attempt(self, owner: str, partition: int, offset: int) -> int:
        self._commit_due()
        return super().note_attempt(owner, partition, offset)

    def lock(self, owner: str, wanted: Wanted) -> Sequence[Seen]:
        self._commit_due()
        return super().lock(owner, wanted)

    def _commit_due(self) -> None:
        due, self.is_due = self.is_due, False
        if due and self.in_transaction:
            super().commit()


def no_fencing(parts: Parts, deployment: Deployment) -> Parts:
    """Leave a dead owner's producer as it is."""
    return replace(parts, publisher=_of(parts.publisher, _FencesNobody))


class _FencesNobody(SimPublisher):
    def fence(self, transactional_id: str) -> None:
        return


def fresh_metadata(parts: Parts, deployment: Deployment) -> Parts:
    """Send offsets once the outputs are out, with the membership of then, whoever owns the partitions by then."""
    publisher: _SendsFreshMetadata = _of(parts.publisher, _SendsFreshMetadata)
    assert isinstance(parts.consumer, SimConsumer)
    publisher.consumer = parts.consumer
    return replace(parts, publisher=publisher)


class _SendsFreshMetadata(SimPublisher):
    consumer: SimConsumer
    remembered: Mapping[int, int]

    def send_offsets(self, next_offsets: Mapping[int, int], membership: Membership) -> None:
        self.remembered = next_offsets

    def commit(self) -> None:
        delivery = self._sent()
        self._call("flush", lambda: self._flushed(delivery))
        try:
            current = self.consumer.membership()
        except KafkaUnavailable:
            current = EMPTY
        try:
            super().send_offsets(self.remembered, current)
        except MembershipRefused as error:
            self._give_up()
            raise PublicationUnknown(str(error)) from error
        super().commit()


def empty_membership(parts: Parts, deployment: Deployment) -> Parts:
    """Send offsets as one who is no member, which brokers let pass."""
    return replace(parts, consumer=_of(parts.consumer, _IsNobody))


class _IsNobody(SimConsumer):
    def membership(self) -> SimMembership:
        return EMPTY


def next_offsets_after_abort(parts: Parts, deployment: Deployment) -> Parts:
    """Go on with the next batch after a publication failed."""
    return replace(parts, publisher=_of(parts.publisher, _GoesOn))


class _GoesOn(SimPublisher):
    def commit(self) -> None:
        try:
            super().commit()
        except PublicationUnknown:
            self.replace(self.batch_bytes_max or 0)


def abort_taken_for_done(parts: Parts, deployment: Deployment) -> Parts:
    """Send again with the same producer though nobody knows whether the transaction before was aborted."""
    return replace(parts, publisher=_of(parts.publisher, _TakesAbortForDone))


class _TakesAbortForDone(SimPublisher):
    def abort(self) -> None:
        epoch = self._epoch
        try:
            super().abort()
        except PublicationUnknown:
            self._epoch, self._delivery = epoch, None


def refusal_without_abort(parts: Parts, deployment: Deployment) -> Parts:
    """Send again in the transaction whose offsets were refused."""
    return replace(parts, publisher=_of(parts.publisher, _DoesNotAbort))


class _DoesNotAbort(SimPublisher):
    def abort(self) -> None:
        self._sent()
        self._delivery = None


def producer_kept(parts: Parts, deployment: Deployment) -> Parts:
    """Go on with the same producer after a publication of unknown fate."""
    return replace(parts, publisher=_of(parts.publisher, _KeepsProducer))


class _KeepsProducer(SimPublisher):
    kept: int | None = None

    def replace(self, batch_bytes_max: int) -> None:
        if self.kept is None:
            super().replace(batch_bytes_max)
            self.kept = self._epoch
            return
        epoch = self.kept
        self.close()
        try:
            self._call("abort", lambda: self._kafka.end_transaction(self._transactional_id, epoch, commit=False))
        except PublicationUnknown:
            super().replace(batch_bytes_max)
            self.kept = self._epoch
        else:
            self._epoch = epoch


def no_locks(parts: Parts, deployment: Deployment) -> Parts:
    """Read and write instances without their locks."""
    deployment.postgres.lock_subjects = lambda *_: None  # type: ignore[method-assign]
    return parts


def no_look_up(parts: Parts, deployment: Deployment) -> Parts:
    """Run events without looking whether they were consumed before."""
    deployment.postgres.seen = lambda event_keys: []  # type: ignore[method-assign]
    return parts


def positions_not_compared(parts: Parts, deployment: Deployment) -> Parts:
    """Apply a batch wherever the partition stands."""
    deployment.postgres.check_positions = lambda *_: None  # type: ignore[method-assign]
    return parts


def owner_not_checked(parts: Parts, deployment: Deployment) -> Parts:
    """Apply a batch whoever owns the partition, if it stands as expected."""
    postgres = deployment.postgres
    check = type(postgres).check_positions

    def unchecked(owner: str, next_offsets: Mapping[int, int]) -> None:
        for partition, offset in next_offsets.items():
            row = postgres.positions.get(partition)
            check(postgres, (row.owner if row else None) or "", {partition: offset})

    postgres.check_positions = unchecked  # type: ignore[method-assign]
    return parts


def published_too_early(parts: Parts, deployment: Deployment) -> Parts:
    """Say of a batch's outputs that they are published when it is applied."""
    database = _of(parts.database, _SaysPublished)
    return replace(parts, database=database, positions=database)


class _SaysPublished(SimDatabase):
    def write(self, writes: Writes) -> None:
        super().write(replace(writes, published_offsets=writes.next_offsets))


def unstable_offsets(parts: Parts, deployment: Deployment) -> Parts:
    """Ask for committed offsets without waiting for pending ones."""
    kafka = deployment.kafka

    def unstable(partition: int) -> Standing:
        return Standing(kafka.committed.get(partition), kafka.first_offsets[partition], kafka.topic_id)

    kafka.standing = unstable  # type: ignore[method-assign]
    return parts


def not_from_the_journal(parts: Parts, deployment: Deployment) -> Parts:
    """Leave unpublished what a dead owner left."""
    database = _of(parts.database, _RemembersNothing)
    return replace(parts, database=database, positions=database)


class _RemembersNothing(SimDatabase):
    def unpublished(self, partition: int, start: int, end: int) -> Sequence[Unpublished]:
        return []


def claims_not_counted(parts: Parts, deployment: Deployment) -> Parts:
    """Leave a row as it is when its owner takes it again, so that a fence of before is taken for one of now."""
    postgres = deployment.postgres
    claim = type(postgres).claim

    def claim_uncounted(session: Session, found: Sequence[Position], claimant: Claim) -> None:
        claim(postgres, session, found, claimant)
        for one in found:
            if one.owner == claimant.owner:
                postgres.positions[one.partition] = replace(postgres.positions[one.partition], claims=one.claims)

    postgres.claim = claim_uncounted  # type: ignore[method-assign, assignment]
    return parts


def attempts_not_noted(parts: Parts, deployment: Deployment) -> Parts:
    """Run a record that kills for ever, since nobody counts how often it did."""
    deployment.postgres.note_attempt = lambda *_: 0  # type: ignore[method-assign]
    return parts


_STOPPED: Final = {"stopped before": 0.02, "stopped after": 0.02, "slow": 0.02}
_GROUP: Final = ("session expired", "process stopped", "Kafka slow", "scaled up", "scaled down")

MUTANTS: Final[Mapping[str, Mutant]] = {
    "offsets-before-database": Mutant(offsets_before_database),
    "no-fencing": Mutant(no_fencing, _GROUP, _STOPPED),
    "fresh-metadata": Mutant(fresh_metadata, _GROUP, _STOPPED),
    "empty-membership": Mutant(empty_membership),
    "next-offsets-after-abort": Mutant(next_offsets_after_abort),
    "producer-kept": Mutant(producer_kept, ("Kafka slow",), {"applied late": 0.2}, "publish"),
    "abort-taken-for-done": Mutant(abort_taken_for_done, _GROUP, {"request lost": 0.3, "applied late": 0.3}, "abort"),
    "refusal-without-abort": Mutant(refusal_without_abort, _GROUP),
    "no-locks": Mutant(no_locks, ("scaled up", "database slow"), {"slow": 0.1}),
    "no-look-up": Mutant(no_look_up),
    "positions-not-compared": Mutant(positions_not_compared, _GROUP, _STOPPED),
    "owner-not-checked": Mutant(owner_not_checked, _GROUP, _STOPPED),
    "published-too-early": Mutant(published_too_early),
    "unstable-offsets": Mutant(unstable_offsets, ("kill -9", "markers slow", "scaled up")),
    "not-from-the-journal": Mutant(not_from_the_journal),
    "claims-not-counted": Mutant(claims_not_counted, ("session expired", "scaled up"), {"slow": 0.5}, "claim"),
    "attempts-not-noted": Mutant(attempts_not_noted, ("scaled up",), poison=True),
}
