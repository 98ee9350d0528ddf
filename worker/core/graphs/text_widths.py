"""How wide text is, without a font at hand.

The widths are those of DejaVu Sans, in thousandths of the font's size. Where Helvetica or Arial is used, text is some
10 % narrower: boxes are then a little roomy, never too small.
"""

import unicodedata
from typing import Final

_FIRST: Final = " "
# fmt: off
_REGULAR: Final = (
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636, 636, 636, 636, 636, 636,
    636, 636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632, 575, 775, 752, 295, 295, 656, 557, 863,
    748, 787, 603, 787, 695, 635, 611, 732, 684, 989, 685, 611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635,
    615, 352, 635, 634, 278, 278, 579, 278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592, 525, 636,
    337, 636, 838,
)
_BOLD: Final = (
    348, 456, 521, 838, 696, 1002, 872, 306, 457, 457, 523, 838, 380, 415, 380, 365, 696, 696, 696, 696, 696, 696, 696,
    696, 696, 696, 400, 400, 838, 838, 838, 580, 1000, 774, 762, 734, 830, 683, 683, 821, 837, 372, 372, 775, 637, 995,
    837, 850, 733, 850, 770, 720, 682, 812, 774, 1103, 771, 724, 725, 457, 365, 457, 838, 500, 500, 675, 716, 593, 716,
    678, 435, 716, 712, 343, 343, 665, 343, 1042, 712, 687, 716, 716, 493, 595, 478, 712, 652, 924, 645, 652, 582, 712,
    365, 712, 838,
)
# fmt: on
_OTHER: Final = 860
"""More than nearly all letters of the alphabets beyond ASCII take."""

_WIDE: Final = 1000


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Give how wide a line of text is, in the unit of the font's size."""
    widths = _BOLD if bold else _REGULAR
    return sum(_width(character, widths) for character in text) * size / 1000


def wrapped(text: str, size: float, width: float, lines_max: int) -> list[str]:
    """Break text into lines that are at most so wide, at spaces or dots where there are some, else anywhere.

    What does not fit into `lines_max` lines becomes “…”. There is always a line.
    """
    lines: list[str] = []
    rest = text.strip(" ")
    while rest and len(lines) < lines_max:
        line = _fitting(rest, size, width)
        rest = rest[len(line) :].lstrip(" ")
        lines.append(line.rstrip(" "))
    if rest:
        lines[-1] = _fitting(lines[-1], size, width - text_width("…", size)).rstrip(" ") + "…"
    return lines or [""]


def _width(character: str, widths: tuple[int, ...]) -> int:
    index = ord(character) - ord(_FIRST)
    if 0 <= index < len(widths):
        return widths[index]
    if unicodedata.combining(character):
        return 0
    return _WIDE if unicodedata.east_asian_width(character) in "WFA" else _OTHER


def _fitting(text: str, size: float, width: float) -> str:
    """Give the beginning of a text that fits: up to a space, or a dot of a name; never nothing."""
    count = _fitting_count(text, size, width)
    if count == len(text):
        return text
    space, dot = text.rfind(" ", 1, count + 1), text.rfind(".", 1, count)
    if space > 0:
        return text[:space]
    # A short beginning would be worse than a break within a word.
    return text[: dot if dot > count // 2 else count]


def _fitting_count(text: str, size: float, width: float) -> int:
    taken = 0.0
    for count, character in enumerate(text):
        taken += text_width(character, size)
        if taken > width and count:
            return count
    return len(text)
