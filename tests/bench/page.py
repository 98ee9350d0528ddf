"""Put a report's tables and its picture into the documentation: `python -m tests.bench.page [REPORT]`."""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench.children import ROOT
from tests.bench.figures import Report, load_report
from tests.bench.plot import draw
from tests.bench.report import summary, tables

PAGE = ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "images" / "bench.svg"
DEFAULT_REPORT = ROOT / "build" / "bench.json"
BEGIN, END = "<!-- bench -->\n", "<!-- /bench -->\n"


def main() -> int:
    """Give the exit code."""
    parser = argparse.ArgumentParser("python -m tests.bench.page", description=__doc__)
    parser.add_argument("report", type=Path, nargs="?", default=DEFAULT_REPORT, help="what `make bench` has written")
    path = parser.parse_args().report
    if not path.is_file():
        parser.error(f"there is no {path}; `make bench` writes it")
    report = load_report(path)
    PICTURE.write_text(draw(report))
    PAGE.write_text(put_in(PAGE.read_text(), report))
    return 0


def put_in(text: str, report: Report) -> str:
    """Replace what stands between the marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n".join(["", *_parts(report)]) + "\n" + END + after


def _parts(report: Report) -> Iterator[str]:
    machine = "; ".join(f"{name} {value}" for name, value in report.machine.items())
    yield f"Measured with: {machine}.\n"
    yield "".join(f"- {re.sub(r'(?<=[0-9])x ', '× ', line)}\n" for line in summary(report))
    yield "![Rates and latencies of all rows](images/bench.svg)\n"
    for table in tables(report):
        yield table.markdown()


if __name__ == "__main__":
    sys.exit(main())
