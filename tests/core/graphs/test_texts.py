"""Texts of a picture: measured, broken, and of colours that can be read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.engine.chart import Chart
from worker.core.engine.outline import outline_of
from worker.core.graphs import style
from worker.core.graphs.text_widths import text_width, wrapped
from worker.core.graphs.wording import Emitted, Heading, edges_of, words_of_state

CONTRAST_MIN = 4.5
"""Of small text, by the accessibility guidelines (WCAG 2, 1.4.3)."""


def test_widths_are_those_of_the_font() -> None:
    assert text_width("evt.go", 1000) == 615 + 592 + 392 + 318 + 635 + 612
    assert text_width("Añ日", 10, bold=True) == pytest.approx(7.74 + 8.6 + 10)
    # A combining accent stands on the letter before it.
    assert text_width("e\N{COMBINING ACUTE ACCENT}", 10) == text_width("e", 10)


@given(st.text("ab.  é日W", max_size=60), st.integers(5, 200), st.integers(1, 6))
def test_lines_fit_and_hold_all_of_the_text(text: str, width: int, lines_max: int) -> None:
    lines = wrapped(text, 10, width, lines_max)
    assert 1 <= len(lines) <= lines_max
    assert all(text_width(line, 10) <= width or len(line.removesuffix("…")) == 1 for line in lines)
    kept = "".join(lines).replace(" ", "")
    if kept.endswith("…"):
        assert len(lines) == lines_max
        assert text.replace(" ", "").startswith(kept[:-1])
    else:
        assert kept == text.replace(" ", "")


def test_lines_end_at_spaces_or_dots() -> None:
    assert wrapped("some words here", 10, 65, 3) == ["some words", "here"]
    assert wrapped("com.inventory.reserve", 10, 80, 3) == ["com.inventory", ".reserve"]
    assert wrapped("abcdefghmm", 10, 30, 2) == ["abcd", "efg…"]
    assert wrapped("", 10, 30, 2) == [""]


def luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("shade", [0, 1], ids=["light", "dark"])
def test_every_text_can_be_read_on_every_ground(shade: int) -> None:
    grounds = [style._SHADES[name][shade] for name in ("paper", "box", "compound", "final", "active")]
    inks = [style._SHADES["text"][shade], style._SHADES["muted"][shade], *(style._LIGHT, style._DARK)[shade]]
    faint = {(ink, ground): contrast(ink, ground) for ink in inks for ground in grounds}
    assert {pair: round(value, 2) for pair, value in faint.items() if value < CONTRAST_MIN} == {}


def test_domains_have_colours_of_their_own_as_long_as_there_are_some() -> None:
    assert style.domain_classes(["b", "default", "a", "b"]) == {"default": "d0", "a": "d1", "b": "d2"}
    many = style.domain_classes(f"n{number}" for number in range(10))
    assert many["n6"] == "d7"
    assert many["n7"] == "d1"
    assert "default" in many
    assert ".d3 { fill: #8a3391; }" in style.style_sheet(["d3", "d3"])
    assert ".d1 {" not in style.style_sheet(["d3"])


WORDS = """\
statechart:
  name: words
  root state:
    name: root
    initial: one
    states:
      - name: one
        on entry: |
          emit("com.b", {}, domains=["x", "y"]); complete(a=1)
          emit("com.a" if init else "com.c", {}, domains=init["domains"])
          emit(f"com.{init}", {}, domains=["x", *init])
          emit("com.b", {}, domains=["x", "y"])
        on exit: emit("com.exit", {})
        transitions:
          - target: two
          - target: two
            guard: init  and   event
            priority: 1
          - event: evt.stay
            action: emit("com.stay", {})
      - name: two
        type: final
"""


def test_words_tell_what_is_emitted_where_in_order_and_once() -> None:
    outline = outline_of(Chart.parse(WORDS))
    heading = Heading("words", completes_with="arvo.orc.words.done")
    words = words_of_state(outline.states["one"], heading)
    assert words.entry == (
        Emitted("com.b", ("x", "y")),
        Emitted("arvo.orc.words.done", ("default",)),
        Emitted("com.a", (), "init['domains']"),
        Emitted("com.c", (), "init['domains']"),
        Emitted("f'com.{init}'", ("x",), "['x', *init]"),
    )
    assert [emitted.where for emitted in words.entry[:3]] == ["x, y", "default", "init['domains']"]
    assert words.exit == (Emitted("com.exit", ("default",)),)
    assert [one.trigger for one in words.internal] == ["evt.stay"]
    (edge,) = edges_of(outline, heading)
    assert [(one.trigger, one.guard) for one in edge.transitions] == [
        ("always", None),
        ("(priority 1)", "init and event"),
    ]
