"""The colours of a picture: for light and dark viewers, with enough contrast for small text in both."""

from collections.abc import Iterable
from typing import Final

from worker.core.domains import DEFAULT_DOMAIN

_LIGHT: Final = ("#0b5fa5", "#b3420a", "#00704a", "#8a3391", "#7a5500", "#0e7078", "#a3194f", "#4b4fc4")
_DARK: Final = ("#6cb6ff", "#ff9a63", "#56d39b", "#dc9ce6", "#e3b341", "#5fd0d8", "#ff8fb1", "#a9abff")
"""By number of the domain; the first is that of `default`. The domain is named beside each, too."""

COMPUTED: Final = "computed"
"""Class of a domain that is only known when the chart runs."""

_RULES: Final = """\
.graph text { font-family: Helvetica, Arial, "Liberation Sans", "DejaVu Sans", sans-serif; font-size: 11px; }
.graph .name { font-size: 13px; font-weight: bold; }
.graph .guard { font-style: italic; }
.graph .box { stroke-width: 1.2; }
.graph .inner { fill: none; stroke-width: 1.2; }
.graph .history .box, .graph .default { stroke-dasharray: 4 3; }
.graph .edge { fill: none; stroke-width: 1.2; }
.graph .divider { stroke-width: 1.2; stroke-dasharray: 7 5; }
.graph .active > .box { stroke-width: 2.6; }
.graph .dot.computed { fill: none; stroke-width: 1.4; }
"""

_SHADES: Final = {
    "paper": ("#ffffff", "#0d1117"),
    "text": ("#1c2733", "#e6edf3"),
    "muted": ("#56616e", "#9aa5b1"),
    "box": ("#ffffff", "#161b22"),
    "compound": ("#f5f7fa", "#11161d"),
    "border": ("#7a8694", "#6b7683"),
    "line": ("#46515e", "#a9b4c0"),
    "final": ("#eef1f5", "#1f2731"),
    "active": ("#fff3c9", "#3d3000"),
    "active-border": ("#b07800", "#f2c14e"),
}


def domain_classes(domains: Iterable[str]) -> dict[str, str]:
    """Give each domain the class of its colour, `default` first, then by name; so the same ones look the same."""
    ordered = [DEFAULT_DOMAIN, *sorted(set(domains) - {DEFAULT_DOMAIN})]
    others = len(_LIGHT) - 1
    return {domain: f"d{(number - 1) % others + 1 if number else 0}" for number, domain in enumerate(ordered)}


def style_sheet(classes: Iterable[str]) -> str:
    """Give the style sheet, with the colours of these classes of domains."""
    used = sorted({int(name[1:]) for name in classes if name != COMPUTED})
    dark = "".join(f"  {rule}\n" for rule in _colours(1, used))
    light = "".join(f"{rule}\n" for rule in _colours(0, used))
    return f"{_RULES}{light}@media (prefers-color-scheme: dark) {{\n{dark}}}\n"


def _colours(shade: int, used: Iterable[int]) -> list[str]:
    of = {name: shades[shade] for name, shades in _SHADES.items()}
    palette = (_LIGHT, _DARK)[shade]
    return [
        f".graph .paper {{ fill: {of['paper']}; }}",
        f".graph text {{ fill: {of['text']}; }}",
        f".graph .muted, .graph .guard {{ fill: {of['muted']}; }}",
        f".graph .box, .graph .inner {{ fill: {of['box']}; stroke: {of['border']}; }}",
        f".graph .compound > .box, .graph .parallel > .box {{ fill: {of['compound']}; }}",
        f".graph .final > .box {{ fill: {of['final']}; }}",
        ".graph .inner { fill: none; }",
        f".graph .active > .box {{ fill: {of['active']}; stroke: {of['active-border']}; }}",
        f".graph .edge, .graph .divider, .graph .ring {{ stroke: {of['line']}; }}",
        f".graph .mark, .graph .head {{ fill: {of['line']}; }}",
        ".graph .ring { fill: none; }",
        f".graph .dot.{COMPUTED} {{ stroke: {of['muted']}; }}",
        *(f".graph .d{number} {{ fill: {palette[number]}; }}" for number in used),
    ]
