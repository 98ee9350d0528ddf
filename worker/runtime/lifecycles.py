"""Lifecycles as tables: what is, what can happen to it, and what is then.

A table says everything: what it lacks can't happen. Diagrams in ARCHITECTURE.md are made from the tables.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

State = TypeVar("State", bound=StrEnum)
Turn = TypeVar("Turn", bound=StrEnum)


class InvalidTransition(Exception):
    """Something was told what can't happen in its state: a fault of the runtime."""


def following(table: Mapping[tuple[State, Turn], State], state: State, turn: Turn, what: str) -> State:
    """Give the state after a turn. Raises: InvalidTransition, naming `what`."""
    after = table.get((state, turn))
    if after is None:
        raise InvalidTransition(f"{what}: {turn} can't happen while {state}")
    return after


def mermaid(table: Mapping[tuple[State, Turn], State]) -> str:
    """Draw a table as a Mermaid state diagram; it begins with the first row's state."""
    turns: dict[tuple[State, State], list[str]] = {}
    for (state, turn), after in table.items():
        turns.setdefault((state, after), []).append(turn)
    ends = sorted(set(table.values()) - {state for state, _ in table})
    return "\n".join(
        [
            "stateDiagram-v2",
            f"    [*] --> {next(iter(table))[0]}",
            *(f"    {state} --> {after}: {', '.join(names)}" for (state, after), names in turns.items()),
            *(f"    {end} --> [*]" for end in ends),
        ]
    )
