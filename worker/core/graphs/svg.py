"""A chart as an SVG picture that stands alone: light or dark as its viewer is, with a description in words.

The layout knows only sizes; here are the shapes. Every text is measured before it is laid out, so that it has room.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from worker.core.engine.outline import Outline, StateKind
from worker.core.graphs.blocks import (
    DOT_WIDTH,
    FONT_SIZE,
    LINE_HEIGHT,
    TITLE_HEIGHT,
    Block,
    Ink,
    Line,
    Span,
)
from worker.core.graphs.describing import sentences_of, sentences_of_edge
from worker.core.graphs.drawing import MARK, MARK_GAP, PADDING, Drawing
from worker.core.graphs.layout import Box, Path, Point, Size
from worker.core.graphs.style import COMPUTED, domain_classes, style_sheet
from worker.core.graphs.text_widths import text_width
from worker.core.graphs.wording import Edge, Emitted, Heading

_HEAD: Final = (
    'viewBox="0 0 10 10" refX="9.5" refY="5" markerWidth="8" markerHeight="8" orient="auto">'
    '<path class="head" d="M0,0.8 L10,5 L0,9.2 Z"/>'
)
"""An arrowhead."""

_MARGIN: Final = 16.0
_CORNER: Final = 6.0
_BASELINE: Final = 0.76
_LEGEND_GAP: Final = 18.0
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NO_ID: Final = re.compile(r"[^A-Za-z0-9]+")
_LETTERS: Final = {StateKind.SHALLOW_HISTORY: "H", StateKind.DEEP_HISTORY: "H*"}


def svg_of(outline: Outline, heading: Heading | None = None, active: frozenset[str] = frozenset()) -> str:
    """Draw a chart as SVG; the same chart gives the same text, which ends with a newline.

    `heading` says what the chart does not know of its machine. `active` names states to set off: those that an
    instance is in.
    Raises: ValueError, if the chart has no such state.
    """
    unknown = sorted(active - outline.states.keys())
    if unknown:
        raise ValueError(f"the chart {outline.name!r} has no state {unknown[0]!r}; give names of its states.")
    return _Picture(outline, heading or Heading(outline.name), active).text()


class _Picture:
    def __init__(self, outline: Outline, heading: Heading, active: Collection[str]) -> None:
        self._drawing = Drawing(outline, heading)
        self._heading = heading
        self._active = active
        self._id = _NO_ID.sub("-", heading.title).strip("-").lower() or "chart"
        found = list(self._drawing.emissions)
        self._classes = domain_classes(domain for emitted in found for domain in emitted.domains)
        self._used = {domain for emitted in found for domain in emitted.domains}
        self._has_computed = any(emitted.computed_domains for emitted in found)

    def text(self) -> str:
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        drawing, layout = self._drawing, self._drawing.layout
        legend, below = self._legend(layout.size)
        width, height = layout.size.width, layout.size.height + below
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="graph" role="img" width="{_number(width)}" '
            f'height="{_number(height)}" viewBox="0 0 {_number(width)} {_number(height)}" '
            f'aria-labelledby="{self._id}-title {self._id}-desc">'
        )
        yield f'<title id="{self._id}-title">{_escaped(self._heading.title)}</title>'
        description = " ".join(sentences_of(drawing.outline, drawing.words, drawing.edges))
        yield f'<desc id="{self._id}-desc">{_escaped(description)}</desc>'
        yield f"<style>\n{style_sheet(self._classes[domain] for domain in self._used)}</style>"
        yield f'<defs><marker id="{self._id}-head" {_HEAD}</marker></defs>'
        yield f'<rect class="paper" width="{_number(width)}" height="{_number(height)}"/>'
        for name in drawing.outline.states:
            yield from self._state(name)
        for start, end in layout.dividers:
            yield f'<path class="divider" d="{_straight((start, end))}"/>'
        for name, path in layout.start_paths.items():
            yield from self._start(name, path)
        for number, edge in enumerate(drawing.edges):
            yield from self._edge(number, edge)
        yield from legend
        yield "</svg>"

    def _state(self, name: str) -> Iterator[str]:
        box, words = self._drawing.layout.boxes[name], self._drawing.words[name]
        kind = words.kind.value.replace("shallow ", "").replace("deep ", "")
        active = " active" if name in self._active else ""
        yield f'<g class="state {kind}{active}" data-state={_quoted(name)}>'
        if name in self._active:
            yield f"<title>{_escaped(name)} (active)</title>"
        yield _rectangle(box, "box", 8)
        if words.kind is StateKind.FINAL:
            yield _rectangle(Box(box.x + 3, box.y + 3, box.width - 6, box.height - 6), "inner", 6)
        corner = Point(box.x + PADDING.width, box.y + PADDING.height)
        yield from _icon(words.kind, corner)
        yield from self._block(self._drawing.state_blocks[name], corner)
        yield "</g>"

    def _start(self, name: str, path: Path) -> Iterator[str]:
        box, radius = self._drawing.layout.starts[name], MARK / 2
        centre = f'cx="{_number(box.x + radius)}" cy="{_number(box.y + radius)}"'
        yield f'<circle class="mark" {centre} r="{_number(radius)}"/>'
        yield f'<path class="edge" d="{_rounded(path)}" marker-end="url(#{self._id}-head)"/>'
        if name == self._drawing.outline.root and self._drawing.starts_with:
            x, y = _number(box.x + MARK + MARK_GAP), _number(box.y + 10)
            yield f'<text class="event" x="{x}" y="{y}">{_escaped(self._drawing.starts_with)}</text>'

    def _edge(self, number: int, edge: Edge) -> Iterator[str]:
        layout = self._drawing.layout
        yield f'<g class="transition" data-source={_quoted(edge.source)} data-target={_quoted(edge.target)}>'
        yield f"<title>{_escaped(' '.join(sentences_of_edge(edge)))}</title>"
        default = "" if edge.transitions else " default"
        path = _rounded(layout.paths[number])
        yield f'<path class="edge{default}" d="{path}" marker-end="url(#{self._id}-head)"/>'
        label = layout.labels.get(number)
        if label is not None:
            yield from self._block(self._drawing.edge_blocks[number], Point(label.x, label.y))
        yield "</g>"

    def _block(self, block: Block, corner: Point) -> Iterator[str]:
        for line in block.lines:
            yield from self._line(line, corner)

    def _line(self, line: Line, corner: Point) -> Iterator[str]:
        height = TITLE_HEIGHT if line.is_title else LINE_HEIGHT
        y = corner.y + line.y
        if line.emitted is not None and line.is_marked:
            for number, name in enumerate(self._domain_marks(line.emitted)):
                yield _dot(name, corner.x + line.x + number * DOT_WIDTH, y + LINE_HEIGHT / 2)
        spans = "".join(
            f'<tspan class="{self._ink(span, line.emitted)}">{_escaped(span.text)}</tspan>' for span in line.spans
        )
        x = corner.x + line.text_x
        yield f'<text x="{_number(x)}" y="{_number(y + _BASELINE * height)}" xml:space="preserve">{spans}</text>'

    def _ink(self, span: Span, emitted: Emitted | None) -> str:
        if span.ink is not Ink.TYPE or emitted is None:
            return span.ink.value
        return f"type {self._domain_marks(emitted)[0]}"

    def _domain_marks(self, emitted: Emitted) -> Sequence[str]:
        """Give the classes of an emission's domains; one stands for all that are not known."""
        return [self._classes[domain] for domain in emitted.domains] or [COMPUTED]

    def _legend(self, size: Size) -> tuple[list[str], float]:
        """Give the legend of the domains' colours, and how much room it takes below the chart."""
        entries = [(self._classes[domain], domain) for domain in self._classes if domain in self._used]
        if self._has_computed:
            entries.append((COMPUTED, "known only when it runs"))
        if not entries:
            return [], 0.0
        lines = ['<g class="legend">']
        x, y = _MARGIN, size.height + 4
        for name, text in (("", "emitted into:"), *entries):
            width = text_width(text, FONT_SIZE) + (DOT_WIDTH if name else 0.0)
            if x + width > size.width - _MARGIN and x > _MARGIN:
                x, y = _MARGIN, y + LINE_HEIGHT
            if name:
                lines.append(_dot(name, x, y + LINE_HEIGHT / 2))
            text_x = x + (DOT_WIDTH if name else 0.0)
            lines.append(f'<text class="muted" x="{_number(text_x)}" y="{_number(y + 11.4)}">{_escaped(text)}</text>')
            x += width + _LEGEND_GAP
        return [*lines, "</g>"], y + LINE_HEIGHT + 10 - size.height


def _icon(kind: StateKind, corner: Point) -> Iterator[str]:
    """Draw the mark of a final or history state, where its name leaves room."""
    x, y = corner.x + 7, corner.y + TITLE_HEIGHT / 2
    centre = f'cx="{_number(x)}" cy="{_number(y)}"'
    if kind is StateKind.FINAL:
        yield f'<circle class="ring" {centre} r="6.5"/>'
        yield f'<circle class="mark" {centre} r="3.5"/>'
    elif kind in _LETTERS:
        yield f'<circle class="ring" {centre} r="8.5"/>'
        yield f'<text text-anchor="middle" x="{_number(x)}" y="{_number(y + 4)}">{_LETTERS[kind]}</text>'


def _rectangle(box: Box, name: str, radius: int) -> str:
    return (
        f'<rect class="{name}" x="{_number(box.x)}" y="{_number(box.y)}" width="{_number(box.width)}" '
        f'height="{_number(box.height)}" rx="{radius}"/>'
    )


def _dot(name: str, x: float, y: float) -> str:
    return f'<circle class="dot {name}" cx="{_number(x + 3.5)}" cy="{_number(y)}" r="3.2"/>'


def _straight(path: Iterable[Point]) -> str:
    return "M" + " L".join(f"{_number(point.x)},{_number(point.y)}" for point in path)


def _rounded(path: Path) -> str:
    """Write a line whose corners are round, as far as the parts between them are long enough."""
    text = _straight(path[:1])
    for before, corner, after in zip(path, path[1:], path[2:], strict=False):
        begin, end = _towards(corner, before), _towards(corner, after)
        text += f" L{_number(begin.x)},{_number(begin.y)}"
        text += f" Q{_number(corner.x)},{_number(corner.y)} {_number(end.x)},{_number(end.y)}"
    return f"{text} L{_number(path[-1].x)},{_number(path[-1].y)}"


def _towards(corner: Point, other: Point) -> Point:
    length = abs(other.x - corner.x) + abs(other.y - corner.y)
    part = min(_CORNER, length / 2) / length
    return Point(corner.x + (other.x - corner.x) * part, corner.y + (other.y - corner.y) * part)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _escaped(text: str) -> str:
    return escape(_NO_XML.sub("\N{REPLACEMENT CHARACTER}", text))


def _quoted(text: str) -> str:
    return quoteattr(_NO_XML.sub("\N{REPLACEMENT CHARACTER}", text))
