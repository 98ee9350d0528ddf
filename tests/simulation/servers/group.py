"""The consumer group's coordinator: members, generations, and who is to have which partition.

Rebalances are cooperative: a partition that is to move is given back first, and assigned in a later generation.
A client joins again beside its application, whose callbacks are served when it polls.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SimMembership:
    """What a client sends to prove that it is a member."""

    member_id: str
    generation: int


EMPTY = SimMembership("", -1)
"""What a client sends that is no member; brokers let it pass, as real ones do."""


@dataclass(eq=False, slots=True)
class Member:
    """One member as the coordinator has it: what it was told to own, and what it has not given back.

    While it is not `responsive`, a rebalance waits for it.
    """

    id: str
    responsive: Callable[[], bool] = lambda: True
    generation: int = -1
    assigned: set[int] = field(default_factory=set)
    owned: set[int] = field(default_factory=set)


@dataclass
class Group:
    """The members by client. Who gets what is `give`'s word, or, with `automatic` partitions, the coordinator's."""

    automatic: Iterable[int] = ()
    generation: int = 0
    members: dict[Hashable, Member] = field(default_factory=dict)
    targets: dict[int, Hashable] = field(default_factory=dict)
    is_rebalancing: bool = False
    _made: int = 0

    def join(self, client: Hashable, responsive: Callable[[], bool] = lambda: True) -> Member:
        """Make a client a member under a new id."""
        self._made += 1
        member = self.members[client] = Member(f"member-{self._made}", responsive)
        self.rebalance()
        return member

    def remove(self, client: Hashable) -> None:
        """Take a client for gone: its partitions are free."""
        if self.members.pop(client, None) is not None:
            self.targets = {number: target for number, target in self.targets.items() if target is not client}
            self.rebalance()

    def give(self, partition: int, client: Hashable | None) -> None:
        """Have a partition go to this client, or to nobody."""
        if client is None:
            self.targets.pop(partition, None)
        else:
            self.targets[partition] = client
        self.rebalance()

    def rebalance(self) -> None:
        """Begin a new generation, as soon as all members have joined again."""
        self.is_rebalancing = True
        self.progress()

    def progress(self) -> None:
        """Complete a rebalance, if all members answer."""
        while self.is_rebalancing and all(member.responsive() for member in self.members.values()):
            self.is_rebalancing = False
            self._assign()
            # What had been assigned and was never told to the application moves at once.
            self.is_rebalancing = any(
                target in self.members and partition not in self.owners for partition, target in self.targets.items()
            )

    @property
    def owners(self) -> dict[int, Member]:
        return {number: one for one in self.members.values() for number in one.owned | one.assigned}

    def knows(self, membership: SimMembership) -> bool:
        """Tell whether this is one of the members, of whatever generation."""
        return membership.member_id in {one.id for one in self.members.values()}

    def refusal(self, membership: SimMembership) -> str | None:
        """Say why offsets that come with this membership are not taken."""
        if membership == EMPTY:
            return None
        if not self.knows(membership):
            return f"UNKNOWN_MEMBER_ID: {membership.member_id}"
        if membership.generation != self.generation:
            return f"ILLEGAL_GENERATION: {membership.generation}, the group is at {self.generation}"
        return None

    def _assign(self) -> None:
        owners = self.owners
        if self.automatic:
            self.targets = _balanced(self.automatic, {number: owners.get(number) for number in owners}, self.members)
        self.generation += 1
        for client, member in self.members.items():
            member.generation = self.generation
            member.assigned = {
                partition
                for partition, target in self.targets.items()
                if target is client and owners.get(partition, member) is member
            }


def _balanced(
    partitions: Iterable[int], owners: Mapping[int, Member | None], members: Mapping[Hashable, Member]
) -> dict[int, Hashable]:
    """Spread partitions evenly and leave as many as possible where they are."""
    if not members:
        return {}
    numbers = sorted(partitions)
    share = -(-len(numbers) // len(members))
    clients = {member.id: client for client, member in members.items()}
    counts = dict.fromkeys(clients.values(), 0)
    targets: dict[int, Hashable] = {}
    for number in numbers:
        owner = owners.get(number)
        client = clients.get(owner.id) if owner else None
        if client is not None and counts[client] < share:
            targets[number] = client
            counts[client] += 1
    for number in numbers:
        if number not in targets:
            client = min(counts, key=lambda one: counts[one])
            targets[number] = client
            counts[client] += 1
    return targets
