"""Sismic charts made of the vectors' XState configs.

The chart's code calls one function for each piece of the config. The context variable `ctx` holds XState's whole
context, `outputs` what final states put out, by the state that is done by them, and `told_done` which states were
told of that without being left.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.vectors.expressions import UNDEFINED, Sight, as_json, evaluate, is_true
from tests.vectors.xstate_actions import Json, Run, listed, seen
from tests.vectors.xstate_tree import NoCounterpartError, State, find, states_of_value, tree_of, value_of
from worker.core.engine.api import Snapshot

WRAPPER, END = "(chart)", "(end)"

Functions = dict[str, Callable[..., Any]]


@dataclass
class TranslatedChart:
    """A chart, its functions, and the way back from its states to XState's.

    `emitted_by` names the action behind each emission, in order of execution; whoever runs the chart clears it.
    """

    text: str
    functions: Functions
    root: State
    emitted_by: list[str] = field(default_factory=list)

    def value(self, snapshot: Snapshot) -> Any:
        """Give the active states as XState writes them."""
        return value_of(self.root, snapshot.configuration)

    def context(self, snapshot: Snapshot) -> Any:
        """Give XState's context."""
        return snapshot.context["ctx"]


def translate(declared: Json, event_types: Collection[str] = ()) -> TranslatedChart:
    """Translate one machine of a vector; `event_types` are those that it may receive, for its wildcards.

    Raises: NoCounterpartError.
    """
    return _Translation(declared, event_types).result()


class _Translation:
    def __init__(self, declared: Json, event_types: Collection[str]) -> None:
        self._config: Json = declared["config"]
        self._actions: Json = declared.get("actions") or {}
        self._guards: Json = declared.get("guards") or {}
        self._root = tree_of(self._config)
        if _throws_value(declared):
            raise NoCounterpartError("Python raises exceptions, not values")
        self._event_types = sorted({*event_types, *_raised_types(declared)})
        self._functions: Functions = {}
        self._emitted_by: list[str] = []

    def result(self) -> TranslatedChart:
        start = self._function("start", self._started)
        chart = {
            "name": self._root.id,
            "preamble": f"ctx = {start}(event)\noutputs = {{}}\ntold_done = {{}}",
            "root state": self._wrapped() if self._root.type == "parallel" else self._state(self._root),
        }
        text = json.dumps({"statechart": chart})
        return TranslatedChart(text, self._functions, self._root, self._emitted_by)

    def _started(self, view: Any) -> Any:
        return as_json(evaluate(self._config.get("context", {}), Sight(input=seen(view))))

    def _wrapped(self) -> Json:
        """Put a parallel root into a compound one, which can end: in a final state beside it."""
        region = self._state(self._root)
        done = {"target": END, "guard": _done(self._root), "priority": 0}
        region.setdefault("transitions", []).append(done)
        end = {"name": END, "type": "final", "on entry": self._completion(self._root)}
        return {"name": WRAPPER, "initial": region["name"], "states": [region, _without_nothing(end)]}

    def _state(self, state: State) -> Json:
        if state.type == "history":
            return self._history(state)
        translated: Json = {
            "name": state.name,
            "on entry": "\n".join(self._entry(state)),
            "on exit": self._acting(state.config.get("exit")),
        }
        if state.type == "final":
            return _without_nothing({**translated, "type": "final"})
        initial, _ = _initial(state)
        translated["transitions"] = self._transitions(state)
        if state.type == "parallel":
            return self._parallel(state, translated)
        children = [self._state(child) for child in state.children]
        names = {child.key: _outer_name(child) for child in state.children}
        return _without_nothing({**translated, "initial": names.get(initial or "", initial), "states": children})

    def _parallel(self, state: State, translated: Json) -> Json:
        """Put a parallel state that has history states into a compound one with them: only there they may stand."""
        regions = [self._state(child) for child in state.real_children]
        parallel = _without_nothing({**translated, "parallel states": regions})
        histories = [self._history(child) for child in state.children if child.type == "history"]
        if not histories:
            return parallel
        return {"name": _outer_name(state), "initial": state.name, "states": [parallel, *histories]}

    def _history(self, state: State) -> Json:
        assert state.parent is not None
        initial, _ = _initial(state.parent)
        default = (
            state.parent if state.parent.type == "parallel" else find(state, state.config.get("target") or initial)
        )
        memory = default.name if default is state.parent else _outer_name(default)
        return {"name": state.name, "type": f"{state.config.get('history', 'shallow')} history", "memory": memory}

    def _entry(self, state: State) -> Iterator[str]:
        _, initial_actions = _initial(state)
        if _told_of_done(state):
            yield f"told_done = {{**told_done, {state.name!r}: False}}"
        for actions in (state.config.get("entry"), initial_actions):
            if actions:
                yield self._acting(actions)
        if state.type != "final" or state.parent is None:
            return
        if "output" in state.config:
            put_out = self._function("put_out", lambda ctx, view: self._output_of(state, ctx, view))
            yield f"outputs = {{**outputs, {state.parent.name!r}: {put_out}(ctx, event)}}"
        if state.parent is self._root and "output" in self._config:
            yield self._completion(state)

    def _output_of(self, state: State, ctx: Any, view: Any) -> Any:
        output = as_json(evaluate(state.config["output"], Sight(ctx, seen(view))))
        return None if output is UNDEFINED else output

    def _completion(self, ended: State) -> str:
        if "output" not in self._config:
            return ""

        def output(ctx: Any, outputs: Json) -> Json:
            event = _done_event(ended, outputs.get(self._root.name, UNDEFINED))
            value = as_json(evaluate(self._config["output"], Sight(ctx, event)))
            # A completion carries an object; what is none counts as no output.
            return value if isinstance(value, dict) else {}

        return f"complete(**{self._function('output', output)}(ctx, outputs))"

    def _acting(self, actions: Any, event: str = "event") -> str:
        one_by_one = listed(actions)
        if not one_by_one:
            return ""

        def act(ctx: Any, view: Any, emit: Callable[..., None], send: Callable[..., None]) -> Any:
            return Run(self._actions, emit, send, self._emitted_by).all(one_by_one, Sight(ctx, seen(view)))

        return f"ctx = {self._function('act', act)}(ctx, {event}, emit, send)"

    def _transitions(self, state: State) -> list[Json]:
        """Give the transitions of a state; of those that wait for one event, the first that passes is taken."""
        found = [self._transition(state, one, event=None) for one in listed(state.config.get("always"))]
        found += [self._delayed(state, after, one) for after, ones in _delays(state) for one in listed(ones)]
        found += [self._on_done(state, one) for one in listed(state.config.get("onDone"))]
        for event_type, candidates in self._candidates(state.config.get("on") or {}):
            found += [self._transition(state, one, event=event_type) for one in candidates]
        return [{**one, "priority": len(found) - index} for index, one in enumerate(found)]

    def _candidates(self, on: Json) -> Iterator[tuple[str, list[Any]]]:
        """Write wildcards out: the exact descriptor alone, else the longest first."""
        wildcards = sorted((key for key in on if key == "*" or key.endswith(".*")), key=len, reverse=True)
        for event_type in (key for key in on if key not in wildcards):
            yield event_type, listed(on[event_type], forbidden=True)
        for event_type in self._event_types:
            matching = [
                one for key in wildcards if _matches(key, event_type) for one in listed(on[key], forbidden=True)
            ]
            if event_type not in on and matching:
                yield event_type, matching

    def _delayed(self, state: State, milliseconds: str, transition: Any) -> Json:
        translated = self._transition(state, transition, event=None)
        guards = [f"after({int(milliseconds) / 1000})", *([translated["guard"]] if "guard" in translated else [])]
        return {**translated, "guard": " and ".join(guards)}

    def _on_done(self, state: State, transition: Any) -> Json:
        """Take a transition once the state is done; one that stays in it is taken once."""
        event = (
            f"{self._function('done', lambda outputs: _done_event(state, outputs.get(state.name, UNDEFINED)))}(outputs)"
        )
        translated = self._transition(state, transition, event=None, view=event)
        guards = [_done(state), *([translated["guard"]] if "guard" in translated else [])]
        if "target" not in translated:
            guards.append(f"not told_done[{state.name!r}]")
            told = f"told_done = {{**told_done, {state.name!r}: True}}"
            translated["action"] = "\n".join([told, *([translated["action"]] if "action" in translated else [])])
        return {**translated, "guard": " and ".join(guards)}

    def _transition(self, state: State, transition: Any, *, event: str | None, view: str = "event") -> Json:
        declared: Json = {"target": transition} if isinstance(transition, str) else transition or {}
        guard = declared.get("guard")
        return _without_nothing(
            {
                "event": event,
                "target": self._target(state, declared),
                "guard": None if guard is None else f"{self._guard(guard)}(ctx, {view}, active)",
                "action": self._acting(declared.get("actions"), view),
            }
        )

    def _target(self, state: State, declared: Json) -> str | None:
        if declared.get("target") is None:
            return None
        try:
            target = find(state, declared["target"])
        except LookupError:
            return str(declared["target"])  # Set-up has to refuse it.
        if declared.get("reenter") or not target.within(state):
            return target.name
        if target is state and not state.children:
            return None
        if any(listed(state.config.get(key)) for key in ("entry", "exit")):
            raise NoCounterpartError("a transition to the own state or below it always leaves and enters it again")
        return target.name

    def _guard(self, declared: Any) -> str:
        match declared:
            case {"named": str(name)} if name not in self._guards:
                return name  # The chart asks for what is not there.

        def guard(ctx: Any, view: Any, active: Callable[[str], bool]) -> bool:
            return self._passes(declared, Sight(ctx, seen(view)), active)

        return self._function("guard", guard)

    def _passes(self, declared: Any, sight: Sight, active: Callable[[str], bool]) -> bool:
        passes = False
        match declared:
            case {"and": inner}:
                passes = all(self._passes(one, sight, active) for one in inner)
            case {"or": inner}:
                passes = any(self._passes(one, sight, active) for one in inner)
            case {"not": inner}:
                passes = not self._passes(inner, sight, active)
            case {"stateIn": value}:
                passes = all(active(state.name) for state in states_of_value(self._root, value))
            case {"named": name, **rest}:
                passes = self._named_passes(name, rest.get("params"), sight, active)
            case str():
                passes = self._named_passes(declared, None, sight, active)
            case _:
                passes = is_true(evaluate(declared, sight))
        return passes

    def _named_passes(self, name: str, params: Any, sight: Sight, active: Callable[[str], bool]) -> bool:
        if name not in self._guards:
            raise NameError(f"the guard {name!r} is not defined")
        params = evaluate(params, sight)
        return self._passes(self._guards[name], Sight(sight.context, sight.event, params=params), active)

    def _function(self, kind: str, function: Callable[..., Any]) -> str:
        name = f"{kind}_{len(self._functions)}"
        self._functions[name] = function
        return name


def _done_event(state: State, output: Any) -> Json:
    return {"type": f"xstate.done.state.{state.id}", "output": output}


def _done(state: State) -> str:
    """Write the condition under which a state is done."""
    if state.type == "parallel":
        return "(" + " and ".join(_done(child) for child in state.real_children) + ")"
    finals = [child for child in state.children if child.type == "final"]
    return "(" + " or ".join(f"active({child.name!r})" for child in finals) + ")" if finals else "False"


def _outer_name(state: State) -> str:
    """Name the state that stands for this one among its siblings."""
    wrapped = state.type == "parallel" and len(state.real_children) < len(state.children)
    return f"{state.name} with history" if wrapped else state.name


def _told_of_done(state: State) -> bool:
    return any(isinstance(one, Mapping) and not one.get("target") for one in listed(state.config.get("onDone")))


def _initial(state: State) -> tuple[str | None, list[Any]]:
    initial = state.config.get("initial")
    return (initial["target"], listed(initial.get("actions"))) if isinstance(initial, Mapping) else (initial, [])


def _delays(state: State) -> list[tuple[str, Any]]:
    return list((state.config.get("after") or {}).items())


def _matches(wildcard: str, event_type: str) -> bool:
    return wildcard == "*" or f"{event_type}.".startswith(wildcard[:-1])


def _raised_types(value: Any) -> Iterator[str]:
    match value:
        case {"do": "raise", "event": {"type": str(event_type)}}:
            yield event_type
        case dict():
            for item in value.values():
                yield from _raised_types(item)
        case list():
            for item in value:
                yield from _raised_types(item)


def _throws_value(value: Any) -> bool:
    match value:
        case {"do": "throw", "value": _} | {"throwValue": _}:
            return True
        case dict() | list():
            return any(map(_throws_value, value.values() if isinstance(value, dict) else value))
        case _:
            return False


def _without_nothing(translated: Json) -> Json:
    return {key: value for key, value in translated.items() if value not in (None, "", [])}
