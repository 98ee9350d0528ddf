"""Domains: labels on emitted events that name the topic they go to."""

import re
from collections.abc import Iterable
from typing import Final

DEFAULT_DOMAIN: Final = "default"

RESERVED_DOMAINS: Final = frozenset({"all", "input", "dlq"})
"""Names that mean something else: every event of a result, the input topic, the dead letter topic."""

DOMAIN_CHARACTERS_MAX: Final = 128
"""Leaves room for the topic prefix: Kafka's topic names end at 249 characters."""

_PATTERN: Final = re.compile(r"[a-z0-9]+(?:[.-][a-z0-9]+)*")


def check_domain(name: str) -> str:
    """Give back a name that may be a domain. Raises: ValueError."""
    if name in RESERVED_DOMAINS:
        raise ValueError(f"{name!r} is no domain: the name is reserved; choose another one.")
    if len(name) > DOMAIN_CHARACTERS_MAX or not _PATTERN.fullmatch(name):
        raise ValueError(
            f"{name[:DOMAIN_CHARACTERS_MAX]!r} is no domain: expected lower-case letters and digits, "
            f"parted by single dots or hyphens, at most {DOMAIN_CHARACTERS_MAX} characters."
        )
    return name


def unique_domains(names: Iterable[str]) -> tuple[str, ...]:
    """Give the names in order of first appearance, each once. Raises: ValueError, for a name that is no domain."""
    return tuple(dict.fromkeys(check_domain(name) for name in names))
