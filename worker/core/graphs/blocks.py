"""The texts of a picture, broken into lines and measured."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Final

from worker.core.engine.outline import StateKind
from worker.core.graphs.layout import Size
from worker.core.graphs.text_widths import text_width, wrapped
from worker.core.graphs.wording import Edge, Emitted, StateWords, TransitionWords

FONT_SIZE: Final = 11.0
TITLE_SIZE: Final = 13.0
LINE_HEIGHT: Final = 15.0
TITLE_HEIGHT: Final = 19.0
DOT_WIDTH: Final = 10.0
"""Room of the mark of one domain, before the text of an emission."""

ICON_WIDTH: Final = 20.0
"""Room of the mark of a final or history state, before its name."""

_WIDTH_MAX: Final = 240.0
_TITLE_WIDTH_MAX: Final = 280.0
_LINES_MAX: Final = 3
_BLOCKS_GAP: Final = 5.0
_INDENT: Final = 8.0
_NAME_LINES_MAX: Final = 12
"""More than a name that a person can read needs."""

_WITH_ICON: Final = frozenset({StateKind.FINAL, StateKind.SHALLOW_HISTORY, StateKind.DEEP_HISTORY})


class Ink(StrEnum):
    """Say how a piece of text looks: a class of the picture's style sheet."""

    TITLE = "name"
    EVENT = "event"
    GUARD = "guard"
    TYPE = "type"
    MUTED = "muted"


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a line."""

    text: str
    ink: Ink


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text; `y` is its top within the block. An emission's first line has the domains' marks before it."""

    spans: tuple[Span, ...]
    x: float
    y: float
    emitted: Emitted | None = None
    is_marked: bool = False

    @property
    def width(self) -> float:
        """Give where the line ends."""
        return self.text_x + sum(_span_width(span) for span in self.spans)

    @property
    def text_x(self) -> float:
        """Give where the text begins."""
        marks = max(1, len(self.emitted.domains)) if self.emitted and self.is_marked else 0
        return self.x + marks * DOT_WIDTH

    @property
    def is_title(self) -> bool:
        """Tell whether it is a state's name."""
        return any(span.ink is Ink.TITLE for span in self.spans)


@dataclass(frozen=True, slots=True)
class Block:
    """Lines below one another."""

    lines: tuple[Line, ...]
    size: Size


class _Page:
    """Collect lines from top to bottom."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.y = 0.0

    def add(
        self, spans: Iterable[Span], x: float = 0.0, emitted: Emitted | None = None, *, marked: bool = False
    ) -> None:
        line = Line(tuple(spans), x, self.y, emitted, marked)
        self.lines.append(line)
        self.y += TITLE_HEIGHT if line.is_title else LINE_HEIGHT

    def block(self) -> Block:
        return Block(tuple(self.lines), Size(max((line.width for line in self.lines), default=0.0), self.y))


def state_block(words: StateWords, title: str | None = None) -> Block:
    """Write what stands in a state: its name, or another title, what it emits, and its internal transitions."""
    page = _Page()
    icon = ICON_WIDTH if words.kind in _WITH_ICON else 0.0
    for text in wrapped(title or words.name, TITLE_SIZE, _TITLE_WIDTH_MAX, _NAME_LINES_MAX):
        page.add([Span(text, Ink.TITLE)], icon)
    for moment, emissions in (("entry", words.entry), ("exit", words.exit)):
        for emitted in emissions:
            _add_emission(page, emitted, moment)
    for transition in words.internal:
        _add_transition(page, transition, "on ")
    return page.block()


def edge_block(edge: Edge) -> Block:
    """Write what stands on a line: one transition below the other."""
    page = _Page()
    for number, transition in enumerate(edge.transitions):
        page.y += _BLOCKS_GAP if number else 0.0
        _add_transition(page, transition)
    return page.block()


def _add_transition(page: _Page, words: TransitionWords, before: str = "") -> None:
    if words.trigger:
        first, *more = wrapped(words.trigger, FONT_SIZE, _WIDTH_MAX, _NAME_LINES_MAX)
        page.add([*([Span(before, Ink.MUTED)] if before else ()), Span(first, Ink.EVENT)])
        for text in more:
            page.add([Span(text, Ink.EVENT)])
    if words.guard:
        for text in wrapped(f"[{words.guard}]", FONT_SIZE, _WIDTH_MAX, _LINES_MAX):
            page.add([Span(text, Ink.GUARD)])
    for emitted in words.emitted:
        _add_emission(page, emitted, None)


def _add_emission(page: _Page, emitted: Emitted, moment: str | None) -> None:
    """Write an emission: where it does not fit into one line, its domains come below."""
    before = [Span(f"{moment} / ", Ink.MUTED)] if moment else []
    where = [Span(f" → {emitted.where}", Ink.MUTED)]
    types = wrapped(emitted.type, FONT_SIZE, _WIDTH_MAX, _NAME_LINES_MAX)
    first = [*before, Span(types[0], Ink.TYPE)]
    if len(types) == 1 and sum(map(_span_width, chain(first, where))) <= _WIDTH_MAX + _span_width(where[0]):
        page.add([*first, *where], 0.0, emitted, marked=True)
        return
    page.add(first, 0.0, emitted, marked=True)
    for text in types[1:]:
        page.add([Span(text, Ink.TYPE)], DOT_WIDTH + _INDENT, emitted)
    for text in wrapped(f"→ {emitted.where}", FONT_SIZE, _WIDTH_MAX, _LINES_MAX):
        page.add([Span(text, Ink.MUTED)], DOT_WIDTH + _INDENT, emitted)


def _span_width(span: Span) -> float:
    is_title = span.ink is Ink.TITLE
    return text_width(span.text, TITLE_SIZE if is_title else FONT_SIZE, bold=is_title)
