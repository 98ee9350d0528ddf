"""The page for TypeScript users says what the programs say, and the lock file what is installed."""

import json
import re
from pathlib import Path

import pytest

from tests.interop.node import TYPESCRIPT

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "interop.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
HEADINGS = {"ts": "// ", "python": "# "}


@pytest.mark.parametrize(("language", "block"), BLOCKS)
def test_excerpts_are_what_the_programs_say(language: str, block: str) -> None:
    comment = HEADINGS[language]
    heading, _, excerpts = block.partition("\n")
    content = (ROOT / heading.removeprefix(comment)).read_text()
    for excerpt in excerpts.split(f"{comment}…\n"):
        assert excerpt.strip()
        assert excerpt.strip("\n") in content


def test_every_program_of_a_user_is_shown() -> None:
    shown = {block.partition("\n")[0].rpartition("/")[2] for language, block in BLOCKS if language == "ts"}
    assert shown == {"kafka.ts", "contracts.cts", "service.ts", "client.ts", "parent.ts", "orchestrator.ts"}


def test_every_package_has_its_hash_and_none_an_address() -> None:
    packages = json.loads((TYPESCRIPT / "package-lock.json").read_text())["packages"]
    installed = {name: package for name, package in packages.items() if name}
    assert len(installed) > len(json.loads((TYPESCRIPT / "package.json").read_text())["dependencies"])
    assert [name for name, package in installed.items() if not package["integrity"].startswith("sha512-")] == []
    assert [name for name, package in installed.items() if "resolved" in package] == []
