"""The page on the library: its code is run as it stands, and every public name is on it."""

import inspect
import re

import pytest

import worker
from tests.docs.pages import Page, assert_links, run_code

PAGE = Page("docs/library.md")


def test_the_code_runs() -> None:
    assert len(PAGE.code()) == 5
    run_code(PAGE)


def test_every_public_name_is_told_of_in_its_own_words() -> None:
    told = re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE.text.partition("## Names")[2], re.MULTILINE)
    names = sorted(worker.__all__, key=str.lower)
    assert [name for name, _ in told] == names
    for name, text in told:
        if name == "Number":  # A type without a docstring of its own.
            continue
        assert text == (inspect.getdoc(getattr(worker, name)) or "").partition("\n")[0], name


@pytest.mark.parametrize("name", worker.__all__)
def test_every_public_method_is_told_of(name: str) -> None:
    value = getattr(worker, name)
    for method, function in vars(value).items() if inspect.isclass(value) else ():
        if not method.startswith("_") and inspect.isfunction(function):
            assert inspect.getdoc(function), f"{name}.{method}"


def test_links_lead_somewhere() -> None:
    assert_links(PAGE)
