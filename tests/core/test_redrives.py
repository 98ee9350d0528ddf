"""What is to be redriven, and what that puts where."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.lab import NOW
from worker.core.dead_letters import DeadLetter, Marker, Place, Selection, read_record
from worker.core.records import Headers, Output, Record
from worker.core.redrives import Offsets, Survey, Target, discarded, find_original, redriven

DLQ = "orc.dlq"
FIRSTS = {0: 10, 1: 0}
TARGET = Target(4, 1_000_000)


def dead_letter(partition: int, offset: int, group: str = "g") -> Record:
    headers = (
        ("h", b"\xff"),
        ("dlq-reason", b"NO_INSTANCE"),
        ("dlq-topic", b"orc.input"),
        ("dlq-partition", b"3"),
        ("dlq-offset", b"%d" % offset),
        ("dlq-consumer-group", group.encode()),
    )
    return Record(partition, offset, NOW, b"key", b"value", headers)


def marker(partition: int, offset: int, of: int) -> Record:
    return Record(partition, offset, NOW, None, None, (("redriven-offset", b"%d" % of),))


def letter_of(record: Record) -> DeadLetter:
    letter = read_record(record)
    assert isinstance(letter, DeadLetter)
    return letter


def surveyed(*records: Record, selection: Selection | None = None) -> Survey:
    survey = Survey(selection or Selection(), "g", FIRSTS)
    for record in records:
        survey.take(record)
    return survey


def pending(survey: Survey) -> list[tuple[int, int]]:
    return [(partition, offset) for partition in sorted(survey.pending) for offset in survey.pending[partition]]


class TestSurvey:
    def test_what_has_a_marker_is_done(self) -> None:
        survey = surveyed(dead_letter(0, 10), dead_letter(0, 11), dead_letter(1, 10), marker(0, 12, of=10))
        assert (pending(survey), survey.marked, len(survey)) == ([(0, 11), (1, 10)], 1, 2)

    def test_a_second_marker_and_one_of_what_expired_change_nothing(self) -> None:
        survey = surveyed(marker(0, 10, of=4), dead_letter(0, 11), marker(0, 12, of=11), marker(0, 13, of=11))
        assert (pending(survey), survey.marked) == ([], 1)

    def test_another_group_s_are_counted_and_left(self) -> None:
        survey = surveyed(dead_letter(0, 10, "other"), dead_letter(0, 11))
        assert (pending(survey), survey.foreign) == ([(0, 11)], {"other": 1})

    def test_what_somebody_else_wrote_is_passed_over(self) -> None:
        assert pending(surveyed(Record(0, 10, NOW, None, b"?", ()))) == []

    def test_places_that_hold_none_are_told(self) -> None:
        places = frozenset([Place(0, 11), Place(0, 12), Place(5, 0)])
        survey = surveyed(
            dead_letter(0, 10), dead_letter(0, 11), marker(0, 12, of=11), selection=Selection(places=places)
        )
        assert (pending(survey), survey.marked, survey.missing) == ([], 1, [Place(0, 12), Place(5, 0)])

    @pytest.mark.parametrize(
        ("letters_max", "kept"),
        [(1, [(0, 12)]), (2, [(0, 12), (0, 15)]), (3, [(0, 12), (0, 15), (1, 3)]), (9, [(0, 12), (0, 15), (1, 3)])],
    )
    def test_a_cut_keeps_the_first(self, letters_max: int, kept: list[tuple[int, int]]) -> None:
        survey = surveyed(dead_letter(1, 3), dead_letter(0, 12), dead_letter(0, 15))
        survey.cut(letters_max)
        assert pending(survey) == kept

    def test_spans_hold_all_that_is_pending(self) -> None:
        survey = surveyed(*(dead_letter(0, offset) for offset in (12, 40, 41)), dead_letter(1, 0), marker(1, 1, of=0))
        assert survey.spans() == ({0: 12}, {0: 42})


class TestOffsets:
    @given(st.sets(st.integers(0, 200)), st.sets(st.integers(0, 200)), st.integers(0, 50))
    def test_it_is_a_set(self, put: set[int], taken: set[int], first: int) -> None:
        offsets = Offsets(first)
        for offset in put:
            offsets.add(first + offset)
        for offset in taken:
            offsets.discard(first + offset)
        expected = sorted(first + offset for offset in put - taken)
        assert list(offsets) == expected
        assert len(offsets) == len(expected)
        assert [offset for offset in range(first + 210) if offset in offsets] == expected
        if expected:
            assert offsets.span == (expected[0], expected[-1] + 1)

    def test_it_takes_a_bit_an_offset(self) -> None:
        offsets = Offsets(1_000_000_000)
        for offset in range(0, 80_000, 2):
            offsets.add(1_000_000_000 + offset)
        assert len(offsets._bits) == 10_000


class TestRedriven:
    def test_the_record_as_it_was_with_a_word_of_where_it_was(self) -> None:
        letter = letter_of(dead_letter(0, 17))
        sent = redriven(letter, letter.original, DLQ, TARGET, NOW)
        told: Headers = (("h", b"\xff"), ("redriven-from", b"orc.dlq[0]@17"))
        assert (sent.record.output, sent.record.partition) == (Output("orc.input", b"key", b"value", told), 3)

    def test_the_marker_stands_where_the_dead_letter_does(self) -> None:
        letter = letter_of(dead_letter(1, 17))
        sent = redriven(letter, letter.original, DLQ, TARGET, NOW).marker
        assert sent.partition == 1
        output = sent.output
        read = read_record(Record(1, 99, 0, output.key, output.value, output.headers))
        assert (output.topic, read) == (DLQ, Marker(Place(1, 17), "orc.input", NOW))

    def test_redriven_again_it_tells_of_the_last_time_only(self) -> None:
        letter = letter_of(dead_letter(0, 17))
        again = replace(letter.original, headers=(("redriven-from", b"orc.dlq[0]@3"), ("h", b"1")))
        sent = redriven(letter, again, DLQ, TARGET, NOW).record.output
        assert sent.headers == (("h", b"1"), ("redriven-from", b"orc.dlq[0]@17"))

    def test_what_only_just_fits_goes_as_it_was(self) -> None:
        letter = letter_of(dead_letter(0, 17))
        room = Target(4, letter.original.size())
        assert redriven(letter, letter.original, DLQ, room, NOW).record.output == letter.original

    def test_a_topic_of_fewer_partitions_and_an_output_go_by_their_key(self) -> None:
        letter = letter_of(dead_letter(0, 17))
        output = replace(letter, origin=None)
        assert redriven(letter, letter.original, DLQ, Target(3, 1_000_000), NOW).record.partition is None
        assert redriven(output, letter.original, DLQ, TARGET, NOW).record.partition is None

    def test_one_that_is_discarded_has_a_marker_that_goes_nowhere(self) -> None:
        sent = discarded(letter_of(dead_letter(1, 17)), DLQ, NOW)
        assert sent.size < redriven(sent.letter, sent.letter.original, DLQ, TARGET, NOW).size
        output = sent.marker.output
        read = read_record(Record(1, 99, 0, output.key, output.value, output.headers))
        assert read == Marker(Place(1, 17), "", NOW)
        assert read.is_discard
        assert not Marker(Place(1, 17), "orc.input", NOW).is_discard

    def test_bytes_are_found_by_their_digest(self) -> None:
        digest = hashlib.sha256(b"the one").hexdigest()
        letter = replace(letter_of(dead_letter(0, 17)), value_digest=digest)
        kept = [Output("orc.input", b"k", b"another", ()), Output("other", b"key", b"the one", (("h", b"1"),))]
        assert find_original(letter, kept) == Output("orc.input", b"key", b"the one", (("h", b"1"),))
        assert find_original(letter, kept[:1]) is None
        assert find_original(letter, []) is None
