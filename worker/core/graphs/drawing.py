"""What is written on a chart's picture, and where it all is."""

from collections.abc import Iterator
from typing import Final

from worker.core.engine.outline import Outline, StateKind
from worker.core.graphs.blocks import FONT_SIZE, edge_block, state_block
from worker.core.graphs.layout import Arrow, Size, Vertex, lay_out
from worker.core.graphs.text_widths import text_width
from worker.core.graphs.wording import Emitted, Heading, TransitionWords, edges_of, words_of_state

PADDING: Final = Size(12.0, 8.0)
"""Between the border of a state and its text."""

MARK: Final = 12.0
"""How wide and high the mark of an initial state is."""

MARK_GAP: Final = 6.0

_STATE_WIDTH_MIN: Final = 72.0
_PORT_ROOM: Final = 24.0
"""How much wider a box is for each line at one of its sides."""


class Drawing:
    """The texts of a chart, measured, and the layout of all that is drawn."""

    def __init__(self, outline: Outline, heading: Heading) -> None:
        self.outline = outline
        self.words = {name: words_of_state(state, heading) for name, state in outline.states.items()}
        self.edges = edges_of(outline, heading)
        self.state_blocks = {
            name: state_block(words, heading.title if name == outline.root else None)
            for name, words in self.words.items()
        }
        self.edge_blocks = [edge_block(edge) for edge in self.edges]
        self.starts_with = heading.starts_with
        self.layout = lay_out([self._vertex(name) for name in outline.states], self._arrows())

    @property
    def emissions(self) -> Iterator[Emitted]:
        """Go through all that is emitted."""
        for words in self.words.values():
            yield from (*words.entry, *words.exit)
        for one in self.transitions:
            yield from one.emitted

    @property
    def transitions(self) -> Iterator[TransitionWords]:
        """Go through all transitions."""
        for words in self.words.values():
            yield from words.internal
        for edge in self.edges:
            yield from edge.transitions

    def _vertex(self, name: str) -> Vertex:
        state = self.outline.states[name]
        block = self.state_blocks[name].size
        start = Size(MARK, MARK)
        if name == self.outline.root and self.starts_with:
            start = Size(MARK + MARK_GAP + text_width(self.starts_with, FONT_SIZE), MARK)
        width = block.width + 2 * PADDING.width
        if not state.children:
            lines = max(
                sum(name == end for end in ends)
                for ends in ([edge.source for edge in self.edges], [edge.target for edge in self.edges])
            )
            width = max(width, _STATE_WIDTH_MIN, lines * _PORT_ROOM)
        return Vertex(
            name=name,
            size=Size(width, block.height + 2 * PADDING.height),
            children=state.children,
            initial=state.initial,
            start=start,
            side_by_side=state.kind is StateKind.PARALLEL,
        )

    def _arrows(self) -> list[Arrow]:
        return [
            Arrow(edge.source, edge.target, block.size)
            for edge, block in zip(self.edges, self.edge_blocks, strict=True)
        ]
