"""The first ceiling: the same records, consumed and produced in transactions, and nothing done with them."""

import json
import sys
import threading
import time
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from tests.bench.children import stop_at_end_of_input, tell

TIMEOUT_SECONDS = 30.0
WAIT_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Route:
    """Say what goes where, and how many records a transaction takes at most."""

    bootstrap_servers: str
    input_topic: str
    output_topic: str
    batch_records_max: int


class PassThrough:
    """Hand records on, with the clients set as the worker's are."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._consumer = Consumer(
            {
                "bootstrap.servers": route.bootstrap_servers,
                "group.id": route.output_topic,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "partition.assignment.strategy": "cooperative-sticky",
                "fetch.wait.max.ms": 100,
            }
        )
        self._producer = Producer(
            {
                "bootstrap.servers": route.bootstrap_servers,
                "transactional.id": route.output_topic,
                "partitioner": "murmur2_random",
                "retry.backoff.ms": 5,
                "linger.ms": 1,
                "log_level": 4,
            }
        )
        self._producer.init_transactions(TIMEOUT_SECONDS)
        self._consumer.subscribe([route.input_topic])
        self.transactions = 0

    def turn(self) -> None:
        """Hand on what is there."""
        messages = self._consumer.consume(1, WAIT_SECONDS)
        if not messages:
            return
        if not self.transactions:
            tell(first=time.monotonic())
        if self._route.batch_records_max > 1:
            messages += self._consumer.consume(self._route.batch_records_max - 1, 0)
        self._publish(messages)
        self.transactions += 1

    def close(self) -> None:
        self._consumer.close()

    def _publish(self, messages: list[Message]) -> None:
        offsets: dict[int, int] = {}
        self._producer.begin_transaction()
        for message in messages:
            if error := message.error():
                raise KafkaException(error)
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            offsets[partition] = offset + 1
            self._producer.produce(
                self._route.output_topic, value=message.value(), key=message.key(), headers=message.headers() or []
            )
        next_offsets = [TopicPartition(self._route.input_topic, *item) for item in offsets.items()]
        metadata = self._consumer.consumer_group_metadata()
        self._producer.send_offsets_to_transaction(next_offsets, metadata, TIMEOUT_SECONDS)
        self._producer.commit_transaction(TIMEOUT_SECONDS)


def main() -> None:
    """Run until the parent closes our standard input."""
    pass_through = PassThrough(Route(**json.loads(sys.argv[1])))
    stopping = threading.Event()
    stop_at_end_of_input(stopping.set)
    while not stopping.is_set():
        pass_through.turn()
    pass_through.close()
    tell(transactions=pass_through.transactions)


if __name__ == "__main__":
    main()
