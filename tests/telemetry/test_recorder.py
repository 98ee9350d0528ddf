"""What a batch comes to in metrics."""

import pytest

from tests.telemetry.bench import DEFINITION, Bench, bench, row, writes
from worker.core.outcomes import DeadLetterReason, IgnoredReason
from worker.core.records import Output
from worker.ports import DatabaseUnavailable, KafkaUnavailable, PositionMoved

ENTRIES = "orchestrator_state_entries_total"


def apply(made: Bench, *rows: object) -> None:
    made.recorder.applied(writes(*rows), 0.01)  # type: ignore[arg-type]


def test_outcomes_and_reasons_are_counted() -> None:
    with bench() as made:
        apply(
            made,
            row(0),
            row(1),
            row(2, "duplicate"),
            row(3, "dead_lettered", reason=DeadLetterReason.NO_INSTANCE.value),
            row(4, "ignored", reason=IgnoredReason.FOREIGN.value),
        )
        apply(made, row(5, "dead_lettered", reason=DeadLetterReason.NO_INSTANCE.value))
        found = made.scrape()
    assert found.by("orchestrator_events_total", "outcome") == {
        "advanced": 2,
        "unexpected": 0,
        "failed": 0,
        "cancelled": 0,
        "duplicate": 1,
        "dead_lettered": 2,
        "ignored": 1,
    }
    assert found.value("orchestrator_dead_letters_total") == 2
    assert found.value("orchestrator_dead_letters_total", reason="NO_INSTANCE") == 2
    ignored = {one.value: 0 for one in IgnoredReason} | {"FOREIGN": 1}
    assert found.by("orchestrator_ignored_total", "reason") == ignored
    assert found.value("orchestrator_batch_records_count") == 2
    assert found.value("orchestrator_batch_records_sum") == 6


def test_counters_begin_at_zero_so_that_the_first_is_an_increase() -> None:
    with bench() as made:
        found = made.scrape()
    assert found.by("orchestrator_dead_letters_total", "reason") == {one.value: 0 for one in DeadLetterReason}


def test_a_state_is_entered_by_who_was_not_in_it() -> None:
    with bench() as made:
        apply(
            made,
            row(0, after=("root", "a"), definition=DEFINITION),
            row(1, before=("root", "a"), after=("root", "b"), definition=DEFINITION),
            row(2, before=("root", "a"), after=("root", "b"), definition=DEFINITION),
            row(3, before=("root", "b"), after=("root", "b"), definition=DEFINITION),
            row(4, "failed", before=("root", "b")),
            row(6, before=("root", "b"), after=(), definition=DEFINITION),
            row(5, after=("root", "a"), definition=b"of a registry that has others"),
        )
        found = made.scrape()
    assert found.by(ENTRIES, "state") == {"root": 1, "a": 1, "b": 2, "(ended)": 1}
    assert {(one["machine"], one["version"]) for one in found.series(ENTRIES)} == {("arvo.orc.order", "1.0.0")}


def test_the_age_is_that_of_a_partition_s_oldest_record() -> None:
    with bench() as made:
        now = made.clock.now_ms()
        made.stand({0: "settled", 1: "settled"}, {0: 2, 1: 8})
        apply(
            made,
            row(0, timestamp=now - 9_000),
            row(7, partition=1, timestamp=now - 2_000),
            row(1, timestamp=now - 1_000),
        )
        made.recorder.published({0: 2, 1: 8})
        found = made.scrape()
    assert found.by("orchestrator_partition_age_seconds", "messaging_destination_partition_id") == {"0": 9, "1": 2}
    assert found.value("orchestrator_event_age_seconds_count") == 2
    assert found.value("orchestrator_event_age_seconds_sum") == 11


def test_what_is_read_again_from_an_offset_is_not_taken_for_published_by_then() -> None:
    with bench() as made:
        apply(made, row(0, timestamp=made.clock.now_ms() - 60_000))
        made.recorder.went_on(0)
        made.recorder.published({0: 1})
        assert made.scrape().value("orchestrator_event_age_seconds_count") is None


def test_a_topic_s_outputs_are_counted() -> None:
    with bench() as made:
        made.recorder.sent([Output(topic, None, b"", ()) for topic in ("orc.default", "orc.default", "orc.dlq")])
        found = made.scrape()
    name = "messaging_client_sent_messages_total"
    assert found.by(name, "messaging_destination_name") == {"orc.default": 2, "orc.dlq": 1}


def test_lag_is_what_is_not_applied_and_has_an_age() -> None:
    with bench() as made:
        made.stand({0: "settled", 1: "settled", 2: "refused"}, {0: 10, 1: 10})
        made.ends = {0: 10, 1: 15, 2: 99}
        made.telemetry.look_at_lag()
        made.clock.advance(20)
        assert made.board.lags() == {0: 0, 1: 5}, "where a partition stands that is refused is not known"
        assert made.board.lag_ages() == {0: 0.0, 1: 20.0}
        apply(made, row(11, partition=1, timestamp=made.clock.now_ms() - 3_000))
        made.stand({0: "settled", 1: "settled"}, {0: 10, 1: 12})
        made.telemetry.look_at_lag()
        assert made.board.lag_ages() == {0: 0.0, 1: 3.0}, "it goes on, so its lag is as old as what was applied last"
        made.stand({1: "settled"}, {1: 15})
        made.telemetry.look_at_lag()
        made.clock.advance(20)
        assert made.board.lag_ages() == {1: 0.0}


def test_a_fault_of_the_telemetry_s_own_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with bench() as made:
        made.recorder.called_database("lock", 0.1, None)
        made.recorder.applied(None, 0.1)  # type: ignore[arg-type]
        made.recorder.applied(None, 0.1)  # type: ignore[arg-type]
        assert made.recorder._told == {("applied", "AttributeError")}
    assert capsys.readouterr().out.count("telemetry_fault") == 1


@pytest.mark.parametrize(
    ("error", "is_fine"), [(None, True), (PositionMoved("moved"), True), (DatabaseUnavailable("away"), False)]
)
def test_the_database_is_away_if_it_says_nothing(error: Exception | None, is_fine: bool) -> None:
    with bench() as made:
        made.recorder.called_database("lock", 0.1, error)
        assert ("database" not in made.failing()) is is_fine
        made.recorder.called_database("lock", 0.1, None)
        assert "database" not in made.failing()


def test_brokers_are_away_until_one_answers() -> None:
    with bench() as made:
        made.stand({0: "settled"}, {0: 1})
        made.recorder.kafka_failed(KafkaUnavailable("away"))
        assert made.failing() == ("kafka",)
        made.raised = KafkaUnavailable("away")
        with pytest.raises(KafkaUnavailable):
            made.telemetry.look_at_lag()
        assert made.failing() == ("kafka",)
        made.raised = None
        made.telemetry.look_at_lag()
        assert made.failing() == ()


def test_who_has_not_the_counting_partition_counts_nothing() -> None:
    with bench() as made:
        made.stand({1: "settled"}, {})
        made.telemetry.count_instances()
        assert made.board.counts.share is None
