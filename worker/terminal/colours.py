"""Colours, for terminals alone: never in a pipe or a file, nor where NO_COLOR is set."""

import os
from enum import StrEnum
from typing import Self, TextIO


class Colour(StrEnum):
    """Say what a text means to whoever looks for it; the value is the terminal's code."""

    GOOD = "32"
    DOUBTFUL = "33"
    BAD = "31"
    FAINT = "2"
    STRONG = "1"


class Tinted(str):
    """A text that is coloured where colours are on, and just the text elsewhere."""

    __slots__ = ("colour",)
    colour: Colour | None

    def __new__(cls, text: str, colour: Colour | None) -> Self:
        """Give a text its colour."""
        made = super().__new__(cls, text)
        made.colour = colour
        return made


def is_terminal(stream: TextIO) -> bool:
    """Tell whether somebody looks at what is written there as it is written."""
    return stream.isatty()


def colours_on(stream: TextIO) -> bool:
    """Tell whether what is written there is looked at, by somebody who has not said no. Source: no-color.org."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, original: str, *, colours: bool) -> str:
    """Give a text as it is written, in the colour of what it was made of."""
    colour = getattr(original, "colour", None)
    return f"\x1b[{colour}m{text}\x1b[0m" if colours and colour and text else text
