"""Findings, and the rules that they come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from worker.core.engine.outline import Place


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule finds, and what to do about it."""

    meaning: str
    remedy: str


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "set-up": Rule("a machine that set-up refuses", "The worker does not start until it is corrected."),
        "unreachable-state": Rule(
            "a state that no transition leads to", "Give it a transition that leads to it, or remove it."
        ),
        "no-initial-state": Rule(
            "a compound state that is entered without one of its own", "Name the first one as its `initial`."
        ),
        "dead-end": Rule(
            "a state that can't be left and is not final", "Give it a transition that leaves it, or `type: final`."
        ),
        "no-way-to-end": Rule(
            "a state from which no final state of the root can be reached: its instances never complete",
            "Give it a way to a final state of the root.",
        ),
        "eventless-loop": Rule(
            "eventless transitions that are taken again and again: the step exceeds its bound",
            "Give one of them an event, a target that is at rest, or a guard that becomes false.",
        ),
        "ambiguous-transitions": Rule(
            "two transitions on one event that can both be taken, with one priority: the step fails",
            "Guard both so that one of them holds, or give them priorities.",
        ),
        "conflicting-regions": Rule(
            "parallel regions that take one event together, while one of them leaves for all: the step fails",
            "Let one of them alone take the event, or give them guards.",
        ),
        "half-entered-parallel": Rule(
            "a transition into one region, from outside or from another: the regions beside it are not entered",
            "Lead to the parallel state itself, and choose within the region.",
        ),
        "shadowed-transition": Rule(
            "a transition behind another one that is always taken first: it is never taken",
            "Guard the other one, lower its priority, or remove this one.",
        ),
        "unhandled-reply": Rule(
            "a reply of a called service that no state takes: the workflow waits on",
            "Give the state that waits a transition on it.",
        ),
        "unhandled-system-error": Rule(
            "the system error of a called service that no state takes: the workflow waits on",
            "Give the state that waits a transition on it.",
        ),
        "unknown-event": Rule(
            "a transition on an event that no contract of the machine emits and no code sends: it is never taken",
            "Correct its name, or add the contract to the machine's services.",
        ),
        "unaccepted-emission": Rule(
            "an emitted type that no contract of the machine accepts: its data goes out unchecked",
            "Correct its name, or add the contract to the machine's services.",
        ),
        "incomplete-data": Rule(
            "an emission without a field that the accepting contract requires: the step fails", "Give the field."
        ),
        "incomplete-completion": Rule(
            "an end without `complete(…)`, or one without a field that the machine's contract requires: the step fails",
            "Call complete(…) with all required fields on the way to the end.",
        ),
        "unknown-field": Rule(
            "data with a field that the contract does not have: it is dropped, or the step fails",
            "Correct its name, or remove it.",
        ),
        "undeclared-domain": Rule(
            "domains that can't be read from the chart and are not declared: no start looks for their topics",
            "Name them in setup_machine(domains=[…]).",
        ),
        "unused-domain": Rule(
            "a declared domain that no code emits to: the start looks for its topic all the same",
            "Remove it from setup_machine(domains=[…]), or emit to it.",
        ),
        "undefined-name": Rule(
            "code that uses a name which nothing defines: the step fails",
            "Name it in the preamble, write a function beside the chart, or correct it.",
        ),
        "always-false": Rule(
            "`received(…)` outside a contract's conditions, or `sent(…)` in a guard: it never holds",
            "Put the event into the transition's `event`, or keep what happened in the context.",
        ),
        "unordered-set": Rule(
            "a set that is gone through: its order differs between processes", "Put sorted(…) around it."
        ),
        "bad-ignore": Rule(
            "a `check: ignore` that names no rule, gives no reason, or ignores nothing",
            "Write it as `# check: ignore RULE: reason`, on the line or above it, or remove it.",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that would go wrong: which rule, where, and what."""

    rule: str
    place: Place
    message: str

    @property
    def remedy(self) -> str:
        """Say what to do."""
        return RULES[self.rule].remedy

    def __str__(self) -> str:
        return f"{self.place}: {self.rule}: {self.message} {self.remedy}"
