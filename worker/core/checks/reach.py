"""Which states can be active after which: an upper bound, guards taken for true whenever that leads further."""

from collections.abc import Iterable, Iterator

from worker.core.engine.outline import Outline, OutlineState, OutlineTransition, StateKind

HISTORY = (StateKind.SHALLOW_HISTORY, StateKind.DEEP_HISTORY)


class Reach:
    """Answer questions about one chart's states and ways.

    `reached` names the states that can become active at all, `ends` the final states that end an instance.
    """

    def __init__(self, outline: Outline) -> None:
        self._states = outline.states
        self._root = outline.root
        # What a history state remembers was reached before.
        self.reached = self._closure(self._entered_below(outline.root), remembered=False)
        self.ends = frozenset(
            name
            for name, state in outline.states.items()
            if state.kind is StateKind.FINAL and state.parent == outline.root
        )

    def after(self, name: str) -> frozenset[str]:
        """Name the states that may be active while this one is, and those that may become so later."""
        begun = {name, *self.ancestors(name), *self.below(name), *self.beside(name)}
        return self._closure(begun | self._remembered(begun), remembered=True)

    def ancestors(self, name: str) -> Iterator[str]:
        """Go through the ancestors, innermost first."""
        parent = self._states[name].parent
        while parent is not None:
            yield parent
            parent = self._states[parent].parent

    def is_left_by(self, name: str, transition: OutlineTransition) -> bool:
        """Tell whether a transition leaves the state, if both are possible at one time."""
        if transition.target is None:
            return False
        left = self._left(transition)
        return left == name or left in self.ancestors(name)

    def exits(self, name: str) -> Iterator[OutlineTransition]:
        """Go through the transitions that leave the state: its own, its ancestors', those of regions beside it."""
        for other in (name, *self.ancestors(name), *self.beside(name)):
            yield from (one for one in self._states[other].transitions if self.is_left_by(name, one))

    def below(self, name: str) -> set[str]:
        """Name the descendants."""
        children = self._states[name].children
        return {*children, *(deeper for child in children for deeper in self.below(child))}

    def beside(self, name: str) -> set[str]:
        """Name all states of the regions that are active together with this state."""
        beside: set[str] = set()
        inner = name
        for ancestor in self.ancestors(name):
            if self._states[ancestor].kind is StateKind.PARALLEL:
                for region in self._states[ancestor].children:
                    if region != inner:
                        beside |= {region, *self.below(region)}
            inner = ancestor
        return beside

    def entries(self) -> Iterator[set[str]]:
        """Go through the sets of states that are entered together: at the start, and by each transition."""
        yield self._entered_below(self._root)
        for name in self.reached:
            yield from (self.entered(one.target) for one in self._states[name].transitions if one.target is not None)

    def entered(self, target: str) -> set[str]:
        """Name the states that are active for certain once a transition has led to its target.

        Sismic enters the states around the target, and what is initial within it; not the regions beside them.
        """
        return {*self.ancestors(target), *self._entered_below(target)}

    def _entered_below(self, name: str) -> set[str]:
        state = self._states[name]
        entered = {name}
        for child in _default_children(state):
            if child in self._states:
                entered |= self.entered(child) if state.kind in HISTORY else self._entered_below(child)
        return entered

    def _closure(self, begun: Iterable[str], *, remembered: bool) -> frozenset[str]:
        found = set(begun)
        waiting = list(found)
        while waiting:
            for transition in self._states[waiting.pop()].transitions:
                if transition.target is not None:
                    entered = self.entered(transition.target)
                    fresh = (entered | self._remembered(entered) if remembered else entered) - found
                    found |= fresh
                    waiting.extend(fresh)
        return frozenset(found)

    def _remembered(self, entered: Iterable[str]) -> set[str]:
        """Name what history states among these may lead back to."""
        parents = {self._states[name].parent for name in entered if self._states[name].kind in HISTORY}
        return {name for parent in parents if parent is not None for name in self.below(parent)}

    def _left(self, transition: OutlineTransition) -> str:
        """Name the outermost state that the transition leaves."""
        assert transition.target is not None
        kept = set(self.ancestors(transition.target))
        left = transition.source
        for ancestor in self.ancestors(transition.source):
            if ancestor in kept:
                return left
            left = ancestor
        return self._root


def _default_children(state: OutlineState) -> tuple[str, ...]:
    if state.kind is StateKind.PARALLEL:
        return state.children
    if state.kind in HISTORY:
        return (state.memory,) if state.memory else ()
    return (state.initial,) if state.initial else ()
