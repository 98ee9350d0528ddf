"""How long instances that ended stay: one rule for all machines, and others for some of them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

_RULE: Final = re.compile(r"(?:(?P<machine>[a-z0-9.]+)=)?(?:keep|(?P<deed>remove|archive):(?P<days>\d{1,9}))")


class Deed(StrEnum):
    """What becomes of an instance some time after its end."""

    KEEP = "keep"
    REMOVE = "remove"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True)
class Rule:
    """Say what becomes of an instance, and how many days after its end; what is kept has none."""

    deed: Deed
    days: int | None = None


KEPT: Final = Rule(Deed.KEEP)


@dataclass(frozen=True, slots=True)
class Retention:
    """The rules: `machines` by the machine's name, `default` for all others."""

    default: Rule = KEPT
    machines: Mapping[str, Rule] = field(default_factory=dict)

    @property
    def rules(self) -> Sequence[Rule]:
        """Give all rules."""
        return (self.default, *self.machines.values())

    @property
    def archives(self) -> bool:
        """Whether some instances are archived."""
        return any(rule.deed is Deed.ARCHIVE for rule in self.rules)

    @property
    def keeps_all(self) -> bool:
        """Whether there is nothing to do."""
        return all(rule.deed is Deed.KEEP for rule in self.rules)

    @property
    def shortest_days(self) -> int | None:
        """Give the fewest days after which an instance goes; none if none goes."""
        return min((rule.days for rule in self.rules if rule.days is not None), default=None)

    @property
    def longest_days(self) -> int | None:
        """Give the most days after which an instance goes; none if none goes."""
        return max((rule.days for rule in self.rules if rule.days is not None), default=None)


def retention_of(texts: Sequence[str]) -> Retention:
    """Read rules: `keep`, `remove:DAYS` or `archive:DAYS`, for one machine with `MACHINE=` before it.

    Raises: ValueError, which does not tell the text.
    """
    rules: dict[str | None, Rule] = {}
    for text in texts:
        match = _RULE.fullmatch(text)
        if match is None:
            raise ValueError(
                "expected keep, remove:DAYS or archive:DAYS, for one machine with MACHINE= before it, "
                "separated by commas"
            )
        machine, deed, days = match.group("machine", "deed", "days")
        if machine in rules:
            raise ValueError(f"has two rules for {'all machines' if machine is None else 'one machine'}")
        rules[machine] = KEPT if deed is None else Rule(Deed(deed), int(days))
    return Retention(rules.pop(None, KEPT), {machine: rule for machine, rule in rules.items() if machine is not None})
