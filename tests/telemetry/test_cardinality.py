"""However many subjects, ids and states there are, a scrape stays small."""

from tests.telemetry.bench import DEFINITION, bench, row, writes
from worker.adapters.telemetry.board import Counts
from worker.core.records import Record
from worker.ports import JournalRow

SERIES_MAX = 2_000
"""The SDK's bound of one metric, which the reference page names."""

MANY = 5_000
PERSON = "subject-of-a-person"


def test_no_metric_grows_with_the_records() -> None:
    with bench() as made:
        sizes = []
        for round_ in range(2):
            rows = [hostile(number + round_ * MANY) for number in range(MANY)]
            made.recorder.applied(writes(*rows), 0.1)
            made.recorder.published({0: (round_ + 1) * MANY})
            sizes.append(len(made.scrape().samples))
        text = made.telemetry.scrape()[1].decode()
    assert sizes[0] == sizes[1]
    assert PERSON not in text


def hostile(number: int) -> JournalRow:
    subject = f"{PERSON}-{number}"
    return JournalRow(
        record=Record(0, number, 0, subject.encode(), b"value", ()),
        outcome="advanced",
        now=0,
        event_id=subject,
        event_source=subject,
        event_type=subject,
        error_name=subject,
        error_message=subject,
        states_before=("a",),
        states_after=("b",),
        definition_hash=DEFINITION,
    )


def test_states_beyond_all_bounds_become_one_series() -> None:
    with bench() as made:
        for number in range(MANY):
            made.recorder.applied(writes(row(number, after=(f"state-{number}",), definition=DEFINITION)), 0.1)
        made.stand({0: "settled"}, {})
        made.counts = Counts(states={("m", "1", f"state-{number}"): 1.0 for number in range(MANY)})
        made.telemetry.count_instances()
        found = made.scrape()
    entries = "orchestrator_state_entries_total"
    assert len(found.series(entries)) <= SERIES_MAX + 1
    assert found.value(entries) == MANY, "none is lost"
    assert found.value(entries, otel_metric_overflow="true")
    assert len(found.series("orchestrator_state_instances")) <= SERIES_MAX + 1
