"""The one thread of a client that reads what the worker publishes, and hands it to those who wait."""

from threading import Event as Flag
from threading import Thread
from typing import Final

import structlog

from worker.adapters.kafka.tailing import Received, TopicTail
from worker.core.codec import decode_record
from worker.core.errors import InvalidEventError
from worker.core.records import Record
from worker.ports import KafkaUnavailable
from worker.services.inboxes import Inboxes

_READ_WAIT_SECONDS: Final = 0.1
_RETRY_SECONDS: Final = 0.5
_STOP_SECONDS: Final = 10.0
_TO_HEADER: Final = "ce_to"
_LOG = structlog.get_logger("worker.client")


class Reading:
    """Read until stopped; brokers that are away are waited for, and nothing is passed over.

    `trouble` says why nothing can be read, for as long as that is so.
    """

    def __init__(self, tail: TopicTail, source: str, inboxes: Inboxes) -> None:
        self.trouble: str | None = None
        self._tail = tail
        self._to = source.encode()
        self._inboxes = inboxes
        self._stopping = Flag()
        self._thread = Thread(target=self._run, name="client-reading", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """End, and close the tail."""
        self._stopping.set()
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        with self._tail as tail:
            while not self._stopping.is_set():
                try:
                    received = tail.read(_READ_WAIT_SECONDS)
                except KafkaUnavailable as error:
                    self.trouble = str(error)
                    _LOG.warning("kafka_unavailable", error=self.trouble)
                    self._stopping.wait(_RETRY_SECONDS)
                    continue
                self.trouble = None
                for one in received:
                    self._take(one)

    def _take(self, received: Received) -> None:
        """Hand an event on, if its workflow is waited for, or if it is for the client and may be asked for later."""
        record = received.record
        if not self._is_wanted(record):
            return
        try:
            event = decode_record(record.value, record.headers)
        except InvalidEventError as error:
            place = {"topic": received.topic, "partition": record.partition, "offset": record.offset}
            _LOG.warning("record_skipped", **place, why=str(error))
            return
        self._inboxes.deliver(event)

    def _is_wanted(self, record: Record) -> bool:
        """Tell by key and header, so that the events of all others need not be read."""
        if record.key is not None and self._inboxes.is_claimed(record.key.decode("utf-8", "replace")):
            return True
        return any(name.lower() == _TO_HEADER and value == self._to for name, value in record.headers)
