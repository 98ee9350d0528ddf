"""Pages of the documentation, and what is held of each: its excerpts, its code, its commands, its links."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.acceptance.commands import ROOT

SHELL_TIMEOUT_SECONDS = 180

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w./-]+\.\w+)")
_LEFT_OUT = re.compile(r"^ *# …\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Page:
    """One page, by its path from the root."""

    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> Path:
        return ROOT / self.name

    @property
    def text(self) -> str:
        return self.path.read_text()

    @property
    def languages(self) -> set[str]:
        return {language for language, _ in _BLOCK.findall(self.text)}

    def blocks(self, *languages: str) -> list[str]:
        return [text for language, text in _BLOCK.findall(self.text) if language in languages]

    def all_blocks(self) -> list[tuple[str, str]]:
        """Give each block's language and text, in order."""
        return _BLOCK.findall(self.text)

    def excerpts(self) -> list[str]:
        """Give the blocks whose first line names a file: they are parts of it."""
        return [text for _, text in _BLOCK.findall(self.text) if _names_a_file(text)]

    def code(self) -> list[str]:
        """Give the blocks of Python that are no excerpts: they are run."""
        return [text for text in self.blocks("python") if not _names_a_file(text)]


def all_pages() -> list[Page]:
    """Give the README and the pages of the documentation."""
    return [Page("README.md"), *(Page(f"docs/{path.name}") for path in sorted(ROOT.glob("docs/*.md")))]


def _names_a_file(text: str) -> bool:
    named = _FILE.fullmatch(text.partition("\n")[0])
    return named is not None and (ROOT / named[1]).is_file()


def assert_excerpts(page: Page) -> None:
    """Hold each excerpt against its file; `# …` stands for what is left out."""
    for text in page.excerpts():
        heading, _, excerpts = text.partition("\n")
        content = (ROOT / heading.removeprefix("# ")).read_text()
        for excerpt in _LEFT_OUT.split(excerpts):
            # The blank lines around an excerpt are the formatter's.
            assert excerpt.strip(), f"{page}: an empty excerpt of {heading}"
            assert excerpt.strip("\n") in content, f"{page}: {heading} has not:\n{excerpt}"


def run_code(page: Page, **given: Any) -> dict[str, Any]:
    """Run the page's Python, block after block, as one module that has `given`; give its names."""
    module = ModuleType(page.path.stem.replace("-", "_"))
    vars(module).update(given)
    for number, text in enumerate(page.code(), start=1):
        exec(compile(text, f"{page}, block {number}", "exec", dont_inherit=True), vars(module))  # noqa: S102 - The page's own code.
    return vars(module)


def run_shell(script: str, variables: Mapping[str, str]) -> str:
    """Run commands as a reader pastes them; give what they print."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=dict(variables),
        timeout=SHELL_TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    # A service may log a trace of its own; a command never shows one.
    assert not re.search("^Traceback", done.stderr, re.MULTILINE), done.stderr
    return done.stdout
