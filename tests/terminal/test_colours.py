"""Colours: on a terminal, and nowhere else."""

import io

import pytest

from worker.terminal.colours import Colour, Tinted, colours_on
from worker.terminal.texts import table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert colours_on(Terminal())
    assert not colours_on(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert not colours_on(Terminal())


def test_no_color_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colours_on(Terminal())


def test_a_coloured_table_is_as_wide_as_one_without() -> None:
    rows = [("A", "B"), (Tinted("good", Colour.GOOD), "x\x1b[2J"), ("y", Tinted("", Colour.BAD))]
    plain, coloured = table(rows), table(rows, colours=True)
    assert plain == "A     B\ngood  x�[2J\ny"
    assert coloured == "A     B\n\x1b[32mgood\x1b[0m  x�[2J\ny"
