"""Run the actions of the vectors' machines within chart code."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.vectors.expressions import Error, Sight, as_json, evaluate
from worker.core.engine.scope import ReceivedView, SentView
from worker.core.events import event_to_json

Json = dict[str, Any]

EMIT_PARAMETERS = ("domains", "to", "redirectto", "accesscontrol", "executionunits", "dataschema")


@dataclass(frozen=True, slots=True)
class Run:
    """Run a list of actions."""

    named: Json
    emit: Callable[..., None]
    send: Callable[..., None]
    emitted_by: list[str]

    def all(self, actions: list[Any], sight: Sight) -> Any:
        """Give the context after the actions."""
        context = sight.context
        for action in actions:
            context = self._one(action, Sight(context, sight.event, params=sight.params))
        return context

    def _one(self, action: Any, sight: Sight) -> Any:
        match action:
            case str():
                return self.all(listed(self.named[action]), sight)
            case {"do": "named", "name": name, **rest}:
                params = evaluate(rest.get("params"), sight)
                return self.all(listed(self.named[name]), Sight(sight.context, sight.event, params=params))
            case {"do": "assign", "set": expressions}:
                return as_json({**sight.context, **{key: evaluate(one, sight) for key, one in expressions.items()}})
            case {"do": "emit", "event": event}:
                self._emit("emit", evaluate(event, sight))
            case {"do": "enqueueArvoEvent", "params": event}:
                self._emit("enqueueArvoEvent", evaluate(event, sight))
            case {"do": "raise", "event": event}:
                raised = as_json(evaluate(event, sight))
                self.send(raised.pop("type"), **raised)
            case {"do": "throw", "message": message, **rest}:
                raise _error(rest.get("name"))(message)
            case _:
                raise NotImplementedError(f"the action {action} is not translated")
        return sight.context

    def _emit(self, by: str, event: Json) -> None:
        given = as_json(event)
        attributes = {name: given.get(name) for name in EMIT_PARAMETERS}
        self.emit(given.get("type"), given.get("data"), extensions=given.get("__extensions"), **attributes)
        self.emitted_by.append(by)


def _error(name: Any) -> type[Exception]:
    return type(name, (Error,), {}) if isinstance(name, str) else Error


def seen(view: Any) -> Any:
    """Give an event as XState's expressions see it."""
    match view:
        case ReceivedView():
            return {**event_to_json(view._event), "data": view.data}
        case SentView():
            return {"type": view.type, **view.data}
        case _:
            return view


def listed(value: Any, *, forbidden: bool = False) -> list[Any]:
    """Give a list of what may be one thing, or nothing; a forbidden transition is nothing, and yet there."""
    if value is None:
        return [None] if forbidden else []
    return value if isinstance(value, list) else [value]
