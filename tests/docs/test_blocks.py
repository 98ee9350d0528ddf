"""Every block of every page is held to what it is: code and commands run, excerpts stand in their files, data parses.

A page whose blocks want more (a folder, another server, output that is compared) has a test of its own, named in
`ELSEWHERE`; what can't be run here is named in `NOT_RUN`, and read by the shell all the same.
"""

import json
import re
import subprocess
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
import pytest
import ruamel.yaml

from tests.acceptance.commands import ROOT
from tests.docs.pages import Page, all_pages, assert_excerpts, run_code, run_shell

ELSEWHERE: Mapping[tuple[str, str], str] = {
    ("README.md", "sh"): "tests/docs/test_readme.py",
    ("README.md", "python"): "tests/docs/test_readme.py",
    ("docs/backup.md", "sh"): "tests/acceptance/test_restore.py",
    ("docs/dead-letters.md", "sh"): "tests/docs/test_dead_letters.py",
    ("docs/interop.md", "ts"): "tests/interop/test_docs.py",
    ("docs/security.md", "sh"): "tests/security/documented.py",
    ("docs/security.md", "sql"): "tests/security/documented.py",
    ("docs/services.md", "python"): "tests/docs/test_walkthroughs.py",
    ("docs/services.md", "sh"): "tests/docs/test_walkthroughs.py",
    ("docs/start.md", "python"): "tests/docs/test_walkthroughs.py",
    ("docs/start.md", "sh"): "tests/docs/test_walkthroughs.py",
    ("docs/testing.md", "python"): "tests/testing/test_page.py",
}
"""The test that holds the blocks of one kind of one page; it names the page."""

NOT_RUN: Mapping[str, str] = {
    "make": "it makes the environment that these tests run in, or measures for longer than tests may",
    "docker": "it needs a container engine",
    "helm": "it needs a cluster; tests/helm runs the chart",
    "kubectl": "it needs a cluster",
}
"""Commands that keep their block from being run, and why."""

SHOWN = {"console", "dockerfile", "mermaid", "text"}
"""What is read by people alone, or held by whoever builds it."""

DATA: Mapping[str, Callable[[str], object]] = {
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": lambda text: list(ruamel.yaml.YAML(typ="safe").load_all(text)),
}
SIGNATURES = "docs/reference-api.md"
HELD = {"python", "sh", "sql", "ts", *DATA, *SHOWN}
PAGES = all_pages()
_COMMAND = re.compile(r"^(?:\w+=\S+ )*([\w./-]+)", re.MULTILINE)


def having(language: str) -> list[Page]:
    """Give the pages with blocks of a language that no other test holds."""
    return [page for page in PAGES if language in page.languages and (page.name, language) not in ELSEWHERE]


def is_run(block: str) -> bool:
    return not NOT_RUN.keys() & set(_COMMAND.findall(block))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_block_is_of_a_kind_that_is_held(page: Page) -> None:
    assert page.languages <= HELD, "say in this module how such blocks are held"
    assert page.text.count("\n```") == 2 * len(page.blocks(*page.languages)), "a block has no language, or no end"


@pytest.mark.parametrize(("place", "test"), ELSEWHERE.items(), ids=str)
def test_a_test_of_its_own_names_the_page(place: tuple[str, str], test: str) -> None:
    page, language = place
    assert language in Page(page).languages
    assert page.rpartition("/")[2] in (ROOT / test).read_text()


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_excerpts_are_what_the_files_say(page: Page) -> None:
    assert_excerpts(page)


@pytest.mark.parametrize("page", [page for page in having("python") if page.name != SIGNATURES], ids=str)
def test_the_code_runs(page: Page) -> None:
    run_code(page)


@pytest.mark.parametrize(
    ("page", "language"), [(page, language) for language in DATA for page in having(language)], ids=str
)
def test_the_data_parses(page: Page, language: str) -> None:
    for text in page.blocks(language):
        DATA[language](text)


@pytest.mark.parametrize("page", having("sh"), ids=str)
def test_the_shell_reads_what_is_not_run(page: Page) -> None:
    for text in page.blocks("sh"):
        read = subprocess.run(["bash", "-n"], input=text, check=False, capture_output=True, text=True)
        assert read.returncode == 0, f"{page}: {read.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("page", having("sh"), ids=str)
def test_the_commands_do_what_they_say(page: Page, shell_environment: dict[str, str]) -> None:
    # One after the other in one shell: later ones use what earlier ones set.
    if script := "\n".join(text for text in page.blocks("sh") if is_run(text)):
        run_shell(script, shell_environment)


@pytest.mark.slow
@pytest.mark.parametrize("page", having("sql"), ids=str)
def test_the_queries_run(page: Page, shell_environment: dict[str, str]) -> None:
    with psycopg.connect(shell_environment["WORKER_DATABASE_URL"]) as connection:
        for text in page.blocks("sql"):
            statement: Any = text
            connection.execute(statement)
        connection.rollback()


def test_what_is_not_run_is_told_apart() -> None:
    assert not is_run("A=b helm install worker\n")
    assert not is_run("worker doctor\nkubectl get pods\n")
    assert is_run("worker produce helm\n")
