"""Charts drawn by hypothesis: nested and parallel states, both histories, guards, priorities, sends and times.

They are built of sismic's model: its YAML schema would take most of the time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from sismic.model import (
    BasicState,
    CompoundState,
    DeepHistoryState,
    FinalState,
    OrthogonalState,
    ShallowHistoryState,
    Statechart,
    Transition,
)

EXTERNAL = ("e1", "e2", "e3")
INTERNAL = ("i1", "i2")
NAMES = tuple(f"s{number:02}" for number in range(40))


@dataclass(frozen=True)
class Language:
    """The code that a chart is drawn from; `{state}` is the state that it stands in."""

    preamble: str
    actions: tuple[str, ...]
    guards: tuple[str, ...]
    eventless_guards: tuple[str, ...]


@dataclass
class Plan:
    """A state that is to be."""

    name: str
    kind: str
    children: list["Plan"] = field(default_factory=list)
    memory: str | None = None

    def walk(self) -> Iterator["Plan"]:
        yield self
        for child in self.children:
            yield from child.walk()


@st.composite
def statecharts(draw: st.DrawFn, language: Language) -> Statechart:
    """Draw a statechart that sismic takes."""
    names = iter(draw(st.permutations(NAMES)))
    root = _compound(draw, names, draw(st.integers(1, 3)))
    plans = list(root.walk())
    chart = Statechart("drawn", preamble=language.preamble)
    _build(draw, chart, root, None, language)
    targets = [plan.name for plan in plans]
    for plan in plans:
        if plan.kind in {"basic", "compound", "orthogonal"}:
            for _ in range(draw(st.integers(0, 3))):
                chart.add_transition(_transition(draw, plan.name, targets, language))
        if plan.kind == "orthogonal" and draw(st.booleans()):
            event = draw(st.sampled_from(EXTERNAL))
            for region in plan.children:
                chart.add_transition(_within(draw, region, event, language))
    chart.validate()
    return chart


def _compound(draw: st.DrawFn, names: Iterator[str], depth: int) -> Plan:
    plan = Plan(next(names), "compound")
    plan.children = [_state(draw, names, depth - 1) for _ in range(draw(st.integers(1, 3)))]
    plain = [child.name for child in plan.children]
    plan.memory = draw(st.sampled_from(plain))
    for kind in draw(st.sampled_from([(), (), ("shallow",), ("deep",), ("shallow", "deep")])):
        plan.children.append(Plan(f"{kind}-{plan.name}", kind, memory=draw(st.sampled_from(plain))))
    if not draw(st.integers(0, 3)):
        plan.children.append(Plan(f"final-{plan.name}", "final"))
    return plan


def _state(draw: st.DrawFn, names: Iterator[str], depth: int) -> Plan:
    kind = draw(st.sampled_from(["basic", "compound", "orthogonal"])) if depth > 0 else "basic"
    if kind == "compound":
        return _compound(draw, names, depth)
    plan = Plan(next(names), kind)
    if kind == "orthogonal":
        plan.children = [_state(draw, names, depth - 1) for _ in range(draw(st.integers(2, 3)))]
    return plan


def _build(draw: st.DrawFn, chart: Statechart, plan: Plan, parent: str | None, language: Language) -> None:
    code: dict[str, Any] = {"on_entry": f"trace.append('>{plan.name}' + str(active('{plan.name}')))"}
    for place in ("on_entry", "on_exit"):
        if not draw(st.integers(0, 2)):
            code[place] = f"trace.append('{place} {plan.name}')\n" + draw(st.sampled_from(language.actions))
    chart.add_state(_STATES[plan.kind](plan, code), parent)
    for child in plan.children:
        _build(draw, chart, child, plan.name, language)


_STATES: dict[str, Any] = {
    "basic": lambda plan, code: BasicState(plan.name, **code),
    "compound": lambda plan, code: CompoundState(plan.name, initial=plan.memory, **code),
    "orthogonal": lambda plan, code: OrthogonalState(plan.name, **code),
    "shallow": lambda plan, code: ShallowHistoryState(plan.name, memory=plan.memory, **code),
    "deep": lambda plan, code: DeepHistoryState(plan.name, memory=plan.memory, **code),
    "final": lambda plan, code: FinalState(plan.name, **code),
}


def _within(draw: st.DrawFn, region: Plan, event: str, language: Language) -> Transition:
    """Draw a transition that stays in its region, so that others may fire with it."""
    inner = [plan for plan in region.walk() if plan.kind in {"basic", "compound", "orthogonal"}]
    return Transition(
        draw(st.sampled_from(inner)).name,
        target=draw(st.sampled_from((None, *(plan.name for plan in region.walk())))),
        event=event,
        action=draw(st.sampled_from((None, *language.actions))),
        priority=draw(st.sampled_from((2, 3))),
    )


def _transition(draw: st.DrawFn, source: str, targets: list[str], language: Language) -> Transition:
    event = draw(st.sampled_from((*EXTERNAL, *EXTERNAL, *INTERNAL, None)))
    guards = (None, None, *language.guards) if event else language.eventless_guards
    guard = draw(st.sampled_from(guards))
    actions = draw(st.lists(st.sampled_from(language.actions), max_size=2))
    return Transition(
        source,
        target=draw(st.sampled_from((None, *targets, *targets))),
        event=event,
        guard=guard and guard.format(state=source),
        action="\n".join(actions) or None,
        priority=draw(st.sampled_from((0, 0, 0, 1, -1, 2))),
    )
