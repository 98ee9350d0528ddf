"""The licences of what users install: the table in docs/licences.md, which `make licences` writes anew.

Read from the environment, where everything is that is locked; which packages belong to what follows from what each
requires.
"""

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "licences.md"
PROJECT = "orchestrator-worker"
EXTRAS = ("embedded", "otlp")

ALLOWED = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "LGPL-3.0-only",
        "MIT",
        "MIT-0",
        "MPL-2.0",
        "PSF-2.0",
        "PostgreSQL",
    }
)
"""What may be used and passed on beside code of any licence; LGPL-3.0, as a package that can be replaced."""

SPELLED = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
"""Names that packages have for licences, which are no SPDX identifiers."""

_TABLE = re.compile(r"(?<=\n\n)\| package \|.*?(?=\n\n|\Z)", re.DOTALL)
_WORD = re.compile(r"[\w.+-]+")
_OPERATORS = frozenset({"AND", "OR", "WITH"})


def licence_of(found: Distribution) -> str:
    """Give the SPDX expression of a package. Raises: ValueError, when what it says is not known."""
    told = found.metadata.json
    classified = [line.rpartition(" :: ")[2] for line in told.get("classifier", []) if line.startswith("License ::")]
    said = [name for name in (told.get("license_expression"), *classified, told.get("license")) if name]
    for name in map(str, said):
        expression = SPELLED.get(name, name)
        if set(_WORD.findall(expression)) <= ALLOWED | _OPERATORS:
            return expression
    raise ValueError(f"{found.name}: none of its licences {said} is allowed or known: see {__name__}")


def packages(extra: str = "") -> dict[str, Distribution]:
    """Give what comes with the worker, or with an extra of it, by normal names; without the worker itself."""
    found: dict[str, Distribution] = {}
    waiting = list(_required(distribution(PROJECT), {extra}))
    while waiting:
        asked = waiting.pop()
        name = canonicalize_name(asked.name)
        if name not in found:
            found[name] = distribution(name)
        waiting += [one for one in _required(found[name], asked.extras) if canonicalize_name(one.name) not in found]
    return found


def _required(by: Distribution, extras: set[str]) -> Iterator[Requirement]:
    for line in by.requires or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras or {""}):
            yield requirement


def table() -> str:
    """Write the table: what comes with the worker first, then what each extra adds."""
    rows = ["| package | licence | comes with |", "|---|---|---|"]
    listed: set[str] = set()
    for extra in ("", *EXTRAS):
        for name, found in sorted(packages(extra).items()):
            if name not in listed:
                rows.append(f"| {name} | {licence_of(found)} | {f'extra `{extra}`' if extra else 'the worker'} |")
        listed |= packages(extra).keys()
    return "\n".join(rows)


def page(text: str) -> str:
    """Give the page with the table of now."""
    return _TABLE.sub(lambda _: table(), text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
