"""What the options of `worker dead-letters` say."""

import pytest

from worker.cli.dead_letters import Filters
from worker.cli.moments import moment_text, read_moment, span_text
from worker.core.dead_letters import Place
from worker.core.errors import SetupError

NOW = 1_790_000_000_000


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T00:01", 60_000),
        ("1970-01-01T00:00:01.5", 1_500),
        ("1970-01-01T02:00+02:00", 0),
        ("1970-01-01T00:00Z", 0),
        ("0s", NOW),
        ("90m", NOW - 5_400_000),
        ("2h", NOW - 7_200_000),
        ("7d", NOW - 604_800_000),
    ],
)
def test_moments_as_they_are_typed(text: str, moment: int) -> None:
    assert read_moment(text, "--since", NOW) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "2h30m", "-2h", "13:00", "1234567d"])
def test_what_is_no_moment_is_refused_by_its_option(text: str) -> None:
    with pytest.raises(SetupError, match="--until: expected a time"):
        read_moment(text, "--until", NOW)


def test_moments_are_written_in_utc() -> None:
    assert moment_text(NOW) == "2026-09-21T14:13:20Z"
    assert moment_text(10**18) == "-"


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (-5, "0s"),
        (999, "0s"),
        (59_000, "59s"),
        (60_000, "1m"),
        (3_600_000 + 12 * 60_000 + 5_000, "1h 12m"),
        (2 * 86_400_000 + 59_000, "2d"),
        (2 * 86_400_000 + 4 * 3_600_000, "2d 4h"),
    ],
)
def test_spans_are_written_in_their_two_largest_units(milliseconds: int, text: str) -> None:
    assert span_text(milliseconds) == text


def test_filters_are_read() -> None:
    selection = Filters(["no-instance", "CRASHED"], None, "1970-01-01", None, ["orc.input-0"], ["0:17"]).selection()
    assert selection.reasons == {"NO_INSTANCE", "CRASHED"}
    assert (selection.since, selection.until, selection.names_subject) == (0, None, None)
    assert selection.sources == {"orc.input-0"}
    assert selection.places == {Place(0, 17)}


@pytest.mark.parametrize(
    ("filters", "text"),
    [
        (Filters(reasons=["NOTHING"]), "NOTHING is no reason; there are: INVALID_EVENT"),
        (Filters(places=["17"]), "PARTITION:OFFSET"),
        (Filters(since="soon"), "--since"),
    ],
)
def test_what_can_not_be_read_is_told(filters: Filters, text: str) -> None:
    with pytest.raises(SetupError, match=text):
        filters.selection()
