"""Build the site of the documentation: `python -m tests.docs.site`.

Pages and what they link to are laid out as they are in the repository, so that a link that works there works on the
site. A state diagram in Mermaid, which a browser draws with a script from elsewhere, becomes a picture of its machine.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from worker.core.engine.outline import outline_of
from worker.core.graphs.svg import svg_of
from worker.core.graphs.wording import Heading
from worker.core.machines import Machine
from worker.machine_loader import load_machines

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "docs" / "mkdocs.yml"
SOURCE = ROOT / "build" / "site-source"
SITE = ROOT / "build" / "site"
FIRST = ("README.md", "CHANGELOG.md")

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_PLACE = re.compile(r"^(docs_dir|site_dir): .*$", re.MULTILINE)
_LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]+)")
_STATES = re.compile(r"^```mermaid\n(stateDiagram-v2\n.*?)^```$", re.MULTILINE | re.DOTALL)
_ARROW = re.compile(r"^ *(\w+) --> (\w+)(?:: .+)?$", re.MULTILINE)


def links_of(text: str) -> list[str]:
    """Give where a page links to within the repository, without anchors."""
    return _LINK.findall(_FENCE.sub("", text))


def lay_out(source: Path, changed: Mapping[str, str]) -> None:
    """Copy all pages, and what they link to, page after page; `changed` pages have other texts."""
    shutil.rmtree(source, ignore_errors=True)
    waiting = [*FIRST, *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md"))]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        place = source / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.suffix != ".md":
            shutil.copyfile(ROOT / name, place)
            continue
        text = _to_pages(ROOT / name, changed.get(name) or (ROOT / name).read_text())
        place.write_text(_drawn(text, place) if name.startswith("machines/") else text)
        waiting += _files(ROOT / name, text)


def _to_pages(page: Path, text: str) -> str:
    """Have links to a folder lead to its page."""
    folders = {link for link in links_of(text) if (page.parent / link / "README.md").is_file()}
    for folder in folders:
        text = text.replace(f"]({folder})", f"]({folder.rstrip('/')}/README.md)")
    return text


def _files(page: Path, text: str) -> Iterator[str]:
    for link in links_of(text):
        target = (page.parent / link).resolve()
        if target.is_file() and target.is_relative_to(ROOT):
            yield str(target.relative_to(ROOT))


def _drawn(text: str, place: Path) -> str:
    """Put pictures in place of the state diagrams that show a machine of the page's folder."""
    machines = load_machines([f"machines.{place.parent.name}"], ROOT)

    def picture(found: re.Match[str]) -> str:
        arrows = set(_ARROW.findall(found[1]))
        shown = [machine for machine in machines if arrows and arrows == _arrows(machine)]
        if not shown:
            return found[0]
        (machine,) = shown
        name = f"{machine.source}-{machine.version}.svg"
        (place.parent / name).write_text(svg_of(outline_of(machine.chart), Heading.of_machine(machine)))
        return f"![The states of {machine.source} {machine.version}]({name})"

    return _STATES.sub(picture, text)


def _arrows(machine: Machine) -> set[tuple[str, str]]:
    return {(one.source, one.target) for one in machine.chart.statechart.transitions if one.target is not None}


def build(
    source: Path = SOURCE, site: Path = SITE, changed: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Build the site; any warning fails it, and what is said of it is in the result."""
    lay_out(source, changed or {})
    config = source.parent / f"{source.name}.yml"
    places = {"docs_dir": source, "site_dir": site}
    config.write_text(_PLACE.sub(lambda found: f"{found[1]}: {places[found[1]]}", CONFIG.read_text()))
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(config)]
    silent = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=silent)


if __name__ == "__main__":
    done = build()
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    print(f"{SITE.relative_to(ROOT)} is built; `python -m http.server --directory {SITE.relative_to(ROOT)}` shows it")
