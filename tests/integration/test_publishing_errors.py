"""What Kafka's errors mean to a publication, and calls that never return."""

from threading import Event, Thread, current_thread

import pytest
from confluent_kafka import KafkaError

from worker.adapters.kafka.bounded import Unreturned, call_within
from worker.adapters.kafka.failures import PURGED, REFUSED_RECORDS, REFUSED_TOPICS, Kind, explain, kind_of

CASES = [
    (KafkaError(KafkaError._TIMED_OUT, retriable=True), Kind.RETRIABLE),
    (KafkaError(KafkaError._TIMED_OUT, retriable=True, txn_requires_abort=True), Kind.ABORTABLE),
    (KafkaError(KafkaError.ILLEGAL_GENERATION, txn_requires_abort=True), Kind.ABORTABLE),
    (KafkaError(KafkaError.UNKNOWN_MEMBER_ID), Kind.ABORTABLE),
    (KafkaError(KafkaError.INVALID_TXN_STATE, fatal=True), Kind.FATAL),
    (KafkaError(KafkaError._FENCED, fatal=True), Kind.FENCED),
    (KafkaError(KafkaError.INVALID_PRODUCER_EPOCH, fatal=True), Kind.FENCED),
    (KafkaError(KafkaError.PRODUCER_FENCED), Kind.FENCED),
]


@pytest.mark.parametrize(("error", "kind"), CASES)
def test_an_error_says_its_kind_and_what_comes_next(error: KafkaError, kind: Kind) -> None:
    assert kind_of(error) is kind
    text = explain("commit_transaction", error, "; more")
    assert text.startswith(f"commit_transaction failed ({kind}; {error.name()}: ")
    assert "; more). " in text
    assert not text.endswith("). ")


def test_a_right_that_is_missing_is_named() -> None:
    error = KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED, txn_requires_abort=True)
    assert "grant this worker READ on its consumer group" in explain("send_offsets_to_transaction", error)


def test_a_record_is_refused_for_its_topic_or_for_itself() -> None:
    assert REFUSED_TOPICS.keys().isdisjoint(REFUSED_RECORDS)
    assert PURGED.isdisjoint({*REFUSED_TOPICS, *REFUSED_RECORDS})


class TestBounds:
    def test_what_a_call_raises_is_raised(self) -> None:
        def fail() -> None:
            raise LookupError("gone")

        with pytest.raises(LookupError, match="gone"):
            call_within(10, "fail", fail)

    def test_a_call_that_does_not_return_is_left_behind(self) -> None:
        end = Event()

        def wait() -> None:
            end.wait(10)

        with pytest.raises(Unreturned, match=r"wait did not return in 0\.05 s") as raised:
            call_within(0.05, "wait", wait)
        assert raised.value.thread.is_alive()
        end.set()
        raised.value.thread.join(10)
        assert not raised.value.thread.is_alive()

    def test_a_thread_serves_one_call_after_the_other_unless_it_was_left_behind(self) -> None:
        threads: list[Thread] = []
        end = Event()

        def note() -> None:
            threads.append(current_thread())

        def wait() -> None:
            note()
            end.wait(10)

        call_within(10, "first", note)
        call_within(10, "second", note)
        with pytest.raises(Unreturned):
            call_within(0.05, "third", wait)
        call_within(10, "fourth", note)
        end.set()
        first, second, third, fourth = threads
        assert first is second is third
        assert fourth is not third

    def test_a_call_that_fails_leaves_its_thread_to_the_next(self) -> None:
        threads: list[Thread] = []

        def fail() -> None:
            threads.append(current_thread())
            raise TimeoutError("of the call's own")

        for _ in range(2):
            with pytest.raises(TimeoutError, match="of the call's own"):
                call_within(10, "fail", fail)
        assert threads[0] is threads[1]
