"""Frozen dataclasses that are made quickly: for the values of which every event needs some."""

from dataclasses import MISSING, field, fields, make_dataclass
from typing import Any, TypeVar

_Frozen = TypeVar("_Frozen")


def maker_of(frozen: type[_Frozen]) -> type[_Frozen]:
    """Give what is called in place of a frozen dataclass with slots, with the same arguments, for the same value.

    A frozen dataclass sets every field by a call of `object.__setattr__`, which takes five times as long as setting
    it. An object may change its class for one with the same slots: it is filled first, and frozen as a whole.
    """
    assert "__post_init__" not in vars(frozen), "nothing but the fields is set"
    known = [(one.name, Any, _default_of(one)) for one in fields(frozen)]  # type: ignore[arg-type]
    namespace = {"__post_init__": _freezer(frozen)}
    return make_dataclass(frozen.__name__, known, slots=True, eq=False, namespace=namespace)


def _default_of(one: Any) -> Any:
    if one.default_factory is not MISSING:
        return field(default_factory=one.default_factory)
    return field() if one.default is MISSING else field(default=one.default)


def _freezer(frozen: type) -> Any:
    def freeze(made: Any) -> None:
        made.__class__ = frozen

    return freeze
