"""Texts for a terminal, of things that are known already. Pure."""

from typing import Final

_CONTROL: Final = dict.fromkeys((*range(32), *range(127, 160)), "�")


def table(rows: list[tuple[str, ...]], indent: str = "") -> str:
    """Lay rows out in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(indent + harmless(line) for line in lines)


def counted(count: int, noun: str) -> str:
    """Write a count with its noun, as `1 event` or `2 events`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def harmless(text: str) -> str:
    """Replace what would steer the terminal."""
    return text.translate(_CONTROL)
