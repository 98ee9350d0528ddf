"""A statechart that no longer changes, so what sismic asks of it at every microstep is looked up, not computed."""

from collections.abc import Iterable

from sismic.model import Statechart, Transition


class FrozenStatechart(Statechart):  # type: ignore[misc]  # sismic ships no types.
    """Answer a statechart's questions about its structure from tables. The lists that it gives are shared."""

    def __init__(self, statechart: Statechart) -> None:
        self.__dict__.update(vars(statechart))
        names: list[str] = statechart.states
        self._root: str = statechart.root
        self._ancestors: dict[str, list[str]] = {name: statechart.ancestors_for(name) for name in names}
        self._descendants: dict[str, list[str]] = {name: statechart.descendants_for(name) for name in names}
        self._depths: dict[str, int] = {name: statechart.depth_for(name) for name in names}
        self._common: dict[tuple[str, str], str | None] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._depths

    @property
    def root(self) -> str:
        """Name the root state."""
        return self._root

    @property
    def transitions(self) -> list[Transition]:
        """Give the transitions in document order of their sources' discovery."""
        return self._transitions  # type: ignore[no-any-return]

    def ancestors_for(self, name: str) -> list[str]:
        """Give the ancestors, innermost first."""
        return self._ancestors[name]

    def descendants_for(self, name: str) -> list[str]:
        """Give the descendants, outermost first."""
        return self._descendants[name]

    def depth_for(self, name: str) -> int:
        """Give the depth; the root's is 1."""
        return self._depths[name]

    def least_common_ancestor(self, name_first: str, name_second: str) -> str | None:
        """Give the innermost state that contains both, if any."""
        pair = (name_first, name_second)
        if pair not in self._common:
            self._common[pair] = super().least_common_ancestor(name_first, name_second)
        return self._common[pair]

    def leaf_for(self, names: Iterable[str]) -> list[str]:
        """Give those of the states that contain none of the others, sorted."""
        states = set(names)
        containing = {ancestor for name in states for ancestor in self._ancestors[name]}
        return sorted(states - containing)
