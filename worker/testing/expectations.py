"""What a test asks of an emitted event."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

from worker.core.outcomes import DomainedEvent
from worker.testing.texts import difference

Expected: TypeAlias = str | tuple[str, Mapping[str, Any]]
"""An emitted event as a test names it: its type, or its type and some of its data."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An event of this type with at least this data; domains and receiver only where they are given."""

    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    domains: frozenset[str] | None = None
    to: str | None = None

    @classmethod
    def of(cls, expected: Expected) -> Self:
        """Read what a test names."""
        return cls(expected) if isinstance(expected, str) else cls(*expected)

    def faults(self, emitted: DomainedEvent) -> list[str]:
        """Say what is otherwise."""
        faults = difference(self.data, emitted.event.data)
        if self.domains is not None and self.domains != set(emitted.domains):
            faults.append(f"domains: expected {_listed(self.domains)}, got {_listed(emitted.domains)}")
        if self.to is not None and self.to != emitted.event.to:
            faults.append(f"to: expected {self.to}, got {emitted.event.to}")
        return faults


def _listed(domains: frozenset[str] | tuple[str, ...]) -> str:
    return ", ".join(sorted(domains)) or "none"
