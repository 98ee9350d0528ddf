"""The tests' Apache Kafka is what they need: transactions, kills, and a network that fails."""

import pytest
from confluent_kafka import KafkaException, Producer

from tests.servers.kafka import KafkaCluster, KafkaServer
from tests.servers.proxy import TcpProxy


def transactional(cluster: KafkaCluster, name: str) -> Producer:
    producer = Producer(
        {"bootstrap.servers": cluster.bootstrap_servers, "transactional.id": name, "log_level": 0, "linger.ms": 0}
    )
    producer.init_transactions(20)
    return producer


def publish(producer: Producer, topic: str, value: bytes) -> None:
    producer.begin_transaction()
    producer.produce(topic, value=value)
    assert producer.flush(10) == 0


def test_aborted_records_are_seen_only_by_those_who_ask_for_them(kafka_cluster: KafkaCluster) -> None:
    topic = kafka_cluster.make_topic("aborted", partitions=1)
    producer = transactional(kafka_cluster, topic)
    publish(producer, topic, b"aborted")
    producer.abort_transaction(10)
    publish(producer, topic, b"committed")
    producer.commit_transaction(10)

    committed = [record.value() for record in kafka_cluster.read_all(topic)]
    everything = [record.value() for record in kafka_cluster.read_all(topic, "read_uncommitted")]

    assert committed == [b"committed"]
    assert everything == [b"aborted", b"committed"]


def test_an_older_producer_of_the_same_id_is_fenced(kafka_cluster: KafkaCluster) -> None:
    topic = kafka_cluster.make_topic("fenced", partitions=1)
    older = transactional(kafka_cluster, topic)
    publish(older, topic, b"older")
    transactional(kafka_cluster, topic)

    with pytest.raises(KafkaException):
        older.commit_transaction(10)
    assert kafka_cluster.read_all(topic) == []


def test_topics_are_not_made_by_accident(kafka_cluster: KafkaCluster) -> None:
    metadata = kafka_cluster.admin().list_topics("never-made", timeout=10)
    assert metadata.topics["never-made"].error is not None


def test_committed_records_survive_a_kill_of_kafka(kafka_server: KafkaServer) -> None:
    cluster = kafka_server.cluster
    topic = cluster.make_topic("survivor", partitions=1)
    producer = transactional(cluster, topic)
    publish(producer, topic, b"before")
    producer.commit_transaction(10)
    cluster.wait_until_settled([topic])

    kafka_server.kill()
    kafka_server.start()

    publish(producer, topic, b"after")
    producer.commit_transaction(30)
    assert [record.value() for record in cluster.read_all(topic)] == [b"before", b"after"]


def test_clients_of_the_proxy_can_be_cut_off(kafka_server: KafkaServer, kafka_proxy: TcpProxy) -> None:
    topic = kafka_server.cluster.make_topic("cut", partitions=1)
    producer = transactional(kafka_server.proxied_cluster, topic)
    publish(producer, topic, b"value")

    kafka_proxy.cut()
    with pytest.raises(KafkaException) as cut_off:
        producer.commit_transaction(1)
    assert cut_off.value.args[0].retriable()
    assert kafka_server.cluster.read_all(topic) == []

    kafka_proxy.restore()
    producer.commit_transaction(30)
    assert [record.value() for record in kafka_server.cluster.read_all(topic)] == [b"value"]


def test_clients_of_the_proxy_can_be_stalled(kafka_server: KafkaServer, kafka_proxy: TcpProxy) -> None:
    admin = kafka_server.proxied_cluster.admin()
    admin.list_topics(timeout=10)
    kafka_proxy.stall()
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=0.5)
    kafka_proxy.restore()
    admin.list_topics(timeout=10)
