"""In which row each state of a sheet stands."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

Ends = tuple[str, str]


def rank_states(states: Sequence[str], initial: str | None, ends: Iterable[Ends]) -> dict[str, int]:
    """Give each state its row, from 0, in the order in which they are come to from the initial state.

    A line leads downwards unless it leads back to a state on the way to its source.
    """
    targets: dict[str, list[str]] = {state: [] for state in states}
    for source, target in ends:
        if target not in targets[source]:
            targets[source].append(target)
    firsts = [initial] if initial in targets else []
    seen, finished, back = _depth_first([*firsts, *states], targets)
    ranks = dict.fromkeys(seen, 0)
    for source in reversed(finished):
        for target in targets[source]:
            if (source, target) not in back:
                ranks[target] = max(ranks[target], ranks[source] + 1)
    _pull_down(ranks, targets, back, initial)
    return ranks


def _depth_first(starts: Sequence[str], targets: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str], set[Ends]]:
    """Give the states in the order in which they are seen, and that in which they are done with; the lines back."""
    seen: list[str] = []
    finished: list[str] = []
    back: set[Ends] = set()
    for start in starts:
        way: dict[str, Iterator[str]] = {}
        if start not in seen:
            seen.append(start)
            way[start] = iter(targets[start])
        while way:
            state = next(reversed(way))
            target = next(way[state], None)
            if target is None:
                finished.append(state)
                del way[state]
            elif target in way:
                back.add((state, target))
            elif target not in seen:
                seen.append(target)
                way[target] = iter(targets[target])
    return seen, finished, back


def _pull_down(
    ranks: dict[str, int], targets: Mapping[str, Sequence[str]], back: set[Ends], initial: str | None
) -> None:
    """Put a state that nothing leads down to right above what it leads to."""
    led_to = {target for source in ranks for target in targets[source] if (source, target) not in back}
    for state in ranks:
        below = [ranks[target] for target in targets[state] if (state, target) not in back]
        if below and state != initial and state not in led_to:
            ranks[state] = min(below) - 1
