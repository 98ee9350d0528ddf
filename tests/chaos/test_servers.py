"""The servers of a chaos run are what it needs: brokers of which one may be away, and connections that are slow."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.servers.kafka import KafkaBrokers
from tests.servers.proxy import Pace, TcpProxy
from worker.adapters.embedded.server import LOOPBACK


@pytest.fixture
def echo() -> Iterator[int]:
    """Serve connections that give back what they are sent; the port."""
    listener = socket.create_server((LOOPBACK, 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while chunk := connection.recv(65_536):
                    connection.sendall(chunk)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def test_a_proxy_slows_down_what_goes_through_it(echo: int) -> None:
    with TcpProxy(echo) as proxy, socket.create_connection((LOOPBACK, proxy.port), 10) as connection:

        def seconds(size: int) -> float:
            begun = time.monotonic()
            connection.sendall(b"x" * size)
            left = size
            while left:
                left -= len(connection.recv(left))
            return time.monotonic() - begun

        proxy.slow(Pace(delay_seconds=0.2))
        assert seconds(1) >= 0.4, "once there and once back"
        proxy.slow(Pace(bytes_per_second=10_000))
        assert seconds(2_000) >= 0.4
        proxy.slow(Pace(delay_seconds=60))
        proxy.restore()
        assert seconds(1) < 5


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_of_three_brokers_one_may_be_away(kafka_jars: None, tmp_path: Path) -> None:
    brokers = KafkaBrokers(tmp_path)
    brokers.start()
    try:
        topic = brokers.cluster.make_topic("three", partitions=3)
        producer = Producer(
            {"bootstrap.servers": brokers.cluster.bootstrap_servers, "transactional.id": "three", "log_level": 0}
        )
        producer.init_transactions(30)
        (server, *_) = brokers.servers
        server.kill()
        producer.begin_transaction()
        producer.produce(topic, value=b"without it")
        producer.commit_transaction(60)
        server.start()
        brokers.wait_until_in_sync()
        assert [record.value() for record in brokers.cluster.read_all(topic)] == [b"without it"]
    finally:
        brokers.stop()
