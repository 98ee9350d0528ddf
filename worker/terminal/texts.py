"""Texts for a terminal, of things that are known already. Pure."""

from collections.abc import Sequence
from typing import Final

from worker.terminal.colours import painted

_CONTROL: Final = dict.fromkeys((*range(32), *range(127, 160)), "�")


def table(rows: Sequence[tuple[str, ...]], indent: str = "", *, colours: bool = False) -> str:
    """Lay rows out in columns; cells that are `Tinted` are coloured where colours are on."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(indent + _line(row, widths, colours=colours) for row in rows)


def counted(count: int, noun: str) -> str:
    """Write a count with its noun, as `1 event` or `2 events`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def harmless(text: str) -> str:
    """Replace what would steer the terminal."""
    return text.translate(_CONTROL)


def _line(row: tuple[str, ...], widths: list[int], *, colours: bool) -> str:
    texts = [harmless(cell) for cell in row]
    last = max((number for number, text in enumerate(texts) if text.rstrip()), default=0)
    cells = [
        painted(text, cell, colours=colours) + " " * (width - len(text))
        for text, cell, width in zip(texts, row, widths, strict=True)
    ]
    cells[last] = painted(texts[last].rstrip(), row[last], colours=colours)
    return "  ".join(cells[: last + 1])
