"""Comments beside a chart that switch a rule off: `# check: ignore RULE: reason`.

Behind something it stands for that line; on lines of their own, comments stand for the element below them, with all
that is indented deeper; above everything else in the file, for the whole chart.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from worker.core.checks.findings import RULES, Finding
from worker.core.engine.outline import Place

_IGNORE: Final = re.compile(r"#\s*check:\s*ignore\b(.*)$")
_PARTS: Final = re.compile(r"\s+([\w-]+)\s*:\s*(\S.*)")


@dataclass(frozen=True, slots=True)
class _Ignore:
    """One comment: the rule it switches off, the line it is on, and the lines it stands for."""

    rule: str
    written: int
    lines: range

    def covers(self, finding: Finding) -> bool:
        return self.rule == finding.rule and (finding.place.line or 1) in self.lines


def kept_findings(findings: Iterable[Finding], lines: Sequence[str], file: str | None) -> Iterator[Finding]:
    """Leave out what comments switch off, and tell of comments that are wrong or switch nothing off."""
    ignores: list[_Ignore] = []
    for one in _read(lines, file):
        if isinstance(one, Finding):
            yield one
        else:
            ignores.append(one)
    used: set[_Ignore] = set()
    for finding in findings:
        covering = [one for one in ignores if one.covers(finding)]
        used.update(covering)
        if not covering:
            yield finding
    for one in ignores:
        if one not in used:
            yield Finding("bad-ignore", Place(file, one.written), f"There is nothing of {one.rule!r} to ignore here.")


def _read(lines: Sequence[str], file: str | None) -> Iterator[_Ignore | Finding]:
    at_top = True
    for number, line in enumerate(lines, start=1):
        at_top = at_top and (not line.strip() or _is_comment(line))
        found = _IGNORE.search(line)
        if found is None:
            continue
        parts = _PARTS.fullmatch(found[1].rstrip())
        if parts is None or parts[1] not in RULES:
            what = "names no rule and reason" if parts is None else f"names {parts[1]!r}, which is no rule"
            yield Finding("bad-ignore", Place(file, number), f"The comment {what}.")
        else:
            yield _Ignore(parts[1], number, range(1, len(lines) + 1) if at_top else _covered(lines, number))


def _covered(lines: Sequence[str], number: int) -> range:
    """Give the lines that a comment on this line stands for."""
    if not _is_comment(lines[number - 1]):
        return range(number, number + 1)
    begin = next((below for below in range(number, len(lines)) if not _is_comment(lines[below])), number)
    depth = _depth(lines[begin])
    deeper = takewhile(lambda line: not line.strip() or _depth(line) > depth, lines[begin + 1 :])
    return range(begin + 1, begin + 2 + sum(1 for _ in deeper))


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
