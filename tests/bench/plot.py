"""A report as a picture: points on logarithmic scales, as SVG."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from xml.sax.saxutils import escape

from tests.bench.figures import Report

WIDTH = 900
NAMES = 300
RIGHT = 70
LINE = 22
HEAD = 46
FOOT = 34
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1f2933}.title{font-size:14px;font-weight:600}"
    ".grid{stroke:#d5dae1}.tick{fill:#616e7c}.line{stroke-width:2}"
)
OWN, OTHER = "#0b6e99", "#8a94a3"
"""The worker's colour, and everybody else's."""


@dataclass(frozen=True, slots=True)
class Line:
    """A point with what it spreads over."""

    name: str
    low: float
    value: float
    high: float


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines on one scale."""

    title: str
    lines: Sequence[Line]

    @property
    def height(self) -> int:
        return HEAD + LINE * len(self.lines) + FOOT

    def draw(self, top: int) -> Iterator[str]:
        """Give the elements, from this height on."""
        first = floor(log10(min(line.low for line in self.lines)))
        last = max(ceil(log10(max(line.high for line in self.lines))), first + 1)
        foot = top + HEAD + LINE * len(self.lines)
        yield f'<text class="title" x="16" y="{top + 24}">{escape(self.title)}</text>'
        for power in range(first, last + 1):
            x = _x(10.0**power, first, last)
            yield f'<line class="grid" x1="{x:.1f}" y1="{top + HEAD - 8}" x2="{x:.1f}" y2="{foot}"/>'
            yield f'<text class="tick" x="{x:.1f}" y="{foot + 16}" text-anchor="middle">{10.0**power:,g}</text>'
        for number, line in enumerate(self.lines):
            yield from _draw(line, top + HEAD + LINE * number + 6, (first, last))


def _draw(line: Line, y: int, powers: tuple[int, int]) -> Iterator[str]:
    low, x, high = (_x(value, *powers) for value in (line.low, line.value, line.high))
    colour = OWN if line.name.startswith("worker") else OTHER
    yield f'<text x="{NAMES - 12}" y="{y + 4}" text-anchor="end">{escape(line.name)}</text>'
    yield f'<line class="line" stroke="{colour}" x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}"/>'
    yield f'<circle fill="{colour}" cx="{x:.1f}" cy="{y}" r="5"/>'
    yield f'<text x="{max(high, x) + 10:.1f}" y="{y + 4}">{_number(line.value)}</text>'


def _x(value: float, first: int, last: int) -> float:
    return NAMES + (WIDTH - NAMES - RIGHT) * (log10(value) - first) / (last - first)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def draw(report: Report) -> str:
    """Draw the rates, and the latencies under both loads from p50 to p99.9 with the point at p99."""
    panels = [
        panel for panel in (_rates(report), _latencies(report, "steady"), _latencies(report, "half")) if panel.lines
    ]
    tops = [sum(panel.height for panel in panels[:number]) for number in range(len(panels))]
    elements = [one for panel, top in zip(panels, tops, strict=True) for one in panel.draw(top)]
    height = sum(panel.height for panel in panels)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
    ground = f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", ground, *elements, "</svg>", ""])


def _rates(report: Report) -> Panel:
    lines = [Line(row.name, min(row.rates), row.rate, max(row.rates)) for row in report.rows]
    ordered = sorted(lines, key=lambda line: -line.value)
    return Panel("Events a second: median of the rounds, with what they spread over", ordered)


def _latencies(report: Report, load: str) -> Panel:
    found = [(row.name, row.latencies[load]) for row in report.rows if load in row.latencies]
    lines = [Line(name, figures.p50, figures.p99, figures.p999) for name, figures in found]
    title = {"steady": "at 20 events/s", "half": "at half load"}[load]
    return Panel(f"Latency {title} in ms: p50 – p99.9, the point at p99", sorted(lines, key=lambda line: line.value))
