"""The runtime's Kafka ports on Apache Kafka: transactions, fencing, offsets, partitions."""

import os
import socket
import time
import uuid
from collections.abc import Iterator

import pytest

from tests.integration.kafka_bench import PATIENCE_SECONDS, Bench, Member, Told
from tests.servers.kafka import KafkaCluster, KafkaServer
from tests.servers.proxy import TcpProxy
from tests.servers.raw_producer import send_raw
from worker.adapters.kafka import topics
from worker.adapters.kafka.clients import KafkaConfig
from worker.adapters.kafka.publisher import KafkaPublisher
from worker.adapters.kafka.topics import FIRST_ANSWER_SECONDS, TopicAdmin, TopicShape
from worker.core.records import Output, Record
from worker.ports import KafkaFatal, KafkaUnavailable, MembershipRefused, OffsetUnavailable, PublicationUnknown


@pytest.fixture
def bench(kafka_cluster: KafkaCluster) -> Iterator[Bench]:
    made = Bench.make(kafka_cluster)
    yield made
    made.close()


@pytest.fixture
def member(bench: Bench) -> Member:
    return bench.join_alone()


def test_outputs_and_offsets_are_published_together(bench: Bench, member: Member) -> None:
    bench.publisher(member).publish([bench.out(b"1"), bench.out(b"2")], {0: 5, 3: 7})
    assert bench.visible() == [b"1", b"2"]
    assert member.committed() == [5, None, None, 7]


def test_a_record_keeps_key_value_and_headers(bench: Bench, member: Member) -> None:
    bench.publisher(member).publish([bench.out(b"\xff\x00")], {0: 1})
    (record,) = bench.cluster.read_all(bench.output)
    assert (record.key(), record.value()) == (b"key", b"\xff\x00")
    assert record.headers() == [("name", b"\x00\xff"), ("none", None)]


def test_a_refused_output_leaves_nothing_visible(bench: Bench, member: Member) -> None:
    publisher = bench.publisher(member)
    with pytest.raises(PublicationUnknown):
        publisher.publish([bench.out(b"1"), bench.out(os.urandom(2_000_000))], {0: 5})
    publisher.real.replace()
    publisher.publish([bench.out(b"2")], {0: 6})
    assert bench.visible() == [b"2"]
    assert member.committed()[0] == 6


def test_fencing_ends_an_open_transaction_at_once(bench: Bench, member: Member) -> None:
    zombie = bench.publisher(member, "the-zombie")
    assert isinstance(zombie.real, KafkaPublisher)
    zombie.real.send([bench.out(b"from the zombie")])
    assert zombie.real._outbox is not None
    assert zombie.real._outbox.client.flush(10) == 0
    heir = bench.publisher(member)
    begun = time.monotonic()
    heir.real.fence("the-zombie")
    heir.publish([bench.out(b"from the heir")], {0: 1})
    assert bench.visible() == [b"from the heir"]
    assert time.monotonic() - begun < 15, "long before the transaction time-out of 60 s"
    with pytest.raises(PublicationUnknown):
        zombie.publish([bench.out(b"again")], {0: 2})
    assert member.committed()[0] == 1


def test_the_committed_offset_waits_for_a_pending_transaction(bench: Bench, member: Member) -> None:
    publisher = bench.publisher(member)
    publisher.publish([], {0: 3})
    assert member.committed()[0] == 3


def test_reads_on_where_it_is_told_and_not_before(bench: Bench, member: Member) -> None:
    sender = bench.publisher(member)
    sender.publish([Output(bench.input, b"k", str(number).encode(), ()) for number in range(10)], {0: 0})
    (partition,) = {record.partition() for record in bench.cluster.read_all(bench.input)}
    assert partition is not None
    assert list(member.consumer.poll(100, 0.5)) == [], "an assigned partition is paused until it is taken"
    member.consumer.go_on(partition, 4)
    assert [record.value for record in member.read(6)] == [b"4", b"5", b"6", b"7", b"8", b"9"]
    member.consumer.pause([partition])
    member.consumer.go_on(partition, 8)
    assert [record.value for record in member.read(2)] == [b"8", b"9"]


def test_an_offset_that_is_not_there_is_told(bench: Bench, member: Member) -> None:
    member.consumer.go_on(0, 1_000)
    with pytest.raises(OffsetUnavailable) as raised:
        member.poll_until(lambda: False)
    assert raised.value.partition == 0


def test_records_that_come_with_an_error_are_not_lost(bench: Bench, member: Member) -> None:
    keys = [f"key-{number}".encode() for number in range(200)]
    outputs = [Output(bench.input, key, b"value", ()) for key in keys]
    bench.publisher(member).publish(outputs, {0: 0})
    expected = [record for record in bench.cluster.read_all(bench.input) if record.partition() == 1]
    member.consumer.go_on(1, 0)
    member.consumer.go_on(0, 1_000)
    time.sleep(1)  # So that the client has fetched both, the records and the error.
    records: list[Record] = []
    told = 0
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (len(records) < len(expected) or not told) and time.monotonic() < deadline:
        try:
            records += member.consumer.poll(1_000, 0.1)
        except OffsetUnavailable:
            told += 1
    assert told > 0
    assert [record.key for record in records] == [record.key() for record in expected]


def test_every_error_that_comes_behind_records_is_told(bench: Bench, member: Member) -> None:
    outputs = [Output(bench.input, f"key-{number}".encode(), b"value", ()) for number in range(200)]
    bench.publisher(member).publish(outputs, {0: 0})
    member.consumer.go_on(1, 0)
    member.consumer.go_on(0, 1_000)
    member.consumer.go_on(2, 1_000)
    time.sleep(1)  # So that the client has all of it, and gives it in one call.
    told: set[int] = set()
    deadline = time.monotonic() + 5
    while told != {0, 2} and time.monotonic() < deadline:
        try:
            member.consumer.poll(1_000, 0.1)
        except OffsetUnavailable as error:
            told.add(error.partition)
    assert told == {0, 2}, "the client does not fetch any more from a partition whose error is not told"


def test_headers_that_can_not_be_read_are_told_and_harm_no_other_record(bench: Bench, member: Member) -> None:
    outputs = [Output(bench.input, b"key", b"good", (("h", b"1"),)) for _ in range(100)]
    bench.publisher(member).publish(outputs, {0: 0})
    (partition,) = {record.partition() or 0 for record in bench.cluster.read_all(bench.input)}
    for _ in range(3):
        headers = [(b"before", b"1"), (b"caf\xe9", b"2"), (b"behind", b"3")]
        send_raw(bench.cluster.bootstrap_servers, bench.input, partition, b"bad", headers)
    member.consumer.go_on(partition, 0)
    records = member.read(103)
    assert [(one.value, one.fault is None) for one in records] == [(b"good", True)] * 100 + [(b"bad", False)] * 3
    assert {one.headers for one in records[:100]} == {(("h", b"1"),)}


def test_nothing_is_published_for_a_consumer_that_is_no_member(bench: Bench) -> None:
    # The brokers would take it: an empty member id passes without a look.
    stranger = Member(bench.consumer(), Told())
    bench.members.append(stranger)
    publishing = bench.publisher(stranger)
    with pytest.raises(KafkaUnavailable, match="member"):
        publishing.publish([bench.out(b"1")], {0: 5})
    publishing.real.replace()
    assert bench.visible() == []


def test_a_topic_that_takes_little_at_once_takes_many_records(bench: Bench, member: Member) -> None:
    bench.limit_outputs(4_000)
    publisher = bench.publisher(member)
    publisher.real.replace(4_000)
    values = [os.urandom(1_000) for _ in range(50)]
    publisher.publish([bench.out(value) for value in values], {0: 1})
    assert bench.visible() == values


def test_a_second_member_gets_its_share_and_deltas_are_told(bench: Bench, member: Member) -> None:
    second = bench.join()

    def shared() -> bool:
        member.consumer.poll(1, 0.05)
        return len(second.told.owned) == 2

    second.poll_until(shared)
    assert member.told.owned | second.told.owned == {0, 1, 2, 3}
    assert len(member.told.revokes) == 2


def test_a_topic_made_anew_has_another_identity(bench: Bench, member: Member) -> None:
    before = member.topic_id()
    assert member.topic_id() == before
    bench.cluster.delete_topics([bench.input])
    time.sleep(0.5)
    bench.cluster.create_topics([bench.input])
    assert member.topic_id() != before


def test_topics_are_found_missing_made_and_measured(bench: Bench) -> None:
    admin = TopicAdmin(bench.config)
    name = f"new-{uuid.uuid4()}"
    assert admin.missing([bench.input, name]) == [name]
    admin.create([name], TopicShape(partitions=3))
    admin.create([name], TopicShape(partitions=3))
    assert admin.missing([name]) == []
    assert admin.record_bytes_max([name, f"no-{name}"]).keys() == {name}
    assert admin.record_bytes_max([name]) == {name: 1_048_588}


class TestNoBroker:
    def test_is_told_within_seconds_with_address_and_cause(self) -> None:
        begun = time.monotonic()
        with pytest.raises(KafkaUnavailable, match=r"127\.0\.0\.1:1 \(there is no connection: .*Connection refused"):
            TopicAdmin(KafkaConfig("127.0.0.1:1")).missing(["any"])
        assert time.monotonic() - begun < FIRST_ANSWER_SECONDS + 1

    @pytest.mark.parametrize(
        ("properties", "cause"),
        [
            ({"bootstrap.servers": "no-such-host.invalid:9092"}, r"the name has no address \(DNS\): .*no-such-host"),
            ({"security.protocol": "SSL"}, "TLS fails, see WORKER_KAFKA__SECURITY_PROTOCOL.*SSL_HANDSHAKE"),
            (
                {
                    "security.protocol": "SASL_PLAINTEXT",
                    "sasl.mechanism": "PLAIN",
                    "sasl.username": "somebody",
                    "sasl.password": "secret",
                },
                "the brokers refuse the login, see WORKER_KAFKA__SASL",
            ),
        ],
        ids=["dns", "tls", "sasl"],
    )
    def test_causes_are_told_apart(
        self, kafka_cluster: KafkaCluster, monkeypatch: pytest.MonkeyPatch, properties: dict[str, str], cause: str
    ) -> None:
        monkeypatch.setattr(topics, "FIRST_ANSWER_SECONDS", 1.5)
        with pytest.raises(KafkaUnavailable, match=cause):
            TopicAdmin(KafkaConfig(kafka_cluster.bootstrap_servers, properties)).missing(["any"])

    def test_silence_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(topics, "FIRST_ANSWER_SECONDS", 1.5)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            config = KafkaConfig(f"127.0.0.1:{silent.getsockname()[1]}")
            with pytest.raises(KafkaUnavailable, match="nothing answers there: a firewall"):
                TopicAdmin(config).missing(["any"])


class TestGroups:
    def test_brokers_share_partitions_out_and_prove_membership(self, bench: Bench) -> None:
        bench.group_protocol = "consumer"
        member = bench.join_alone()
        publishing = bench.publisher(member)
        publishing.publish([bench.out(b"1")], {0: 1})
        before = member.consumer.membership()
        second = bench.join()

        def is_shared() -> bool:
            member.consumer.poll(1, 0.05)
            return len(second.told.owned) == len(member.told.owned) == 2

        second.poll_until(is_shared)
        kept, moved = min(member.told.owned), min(second.told.owned)
        publishing.real.send([bench.out(b"2")])
        with pytest.raises(MembershipRefused, match="send_offsets_to_transaction"):
            publishing.real.send_offsets({moved: 2}, before)
        publishing.real.abort()
        publishing.publish([bench.out(b"3")], {kept: 3})
        assert bench.visible() == [b"1", b"3"]
        assert [member.committed()[one] for one in (kept, moved)] == [3, 1 if moved == 0 else None]

    def test_a_consumer_that_is_not_yet_a_member_has_no_membership(self, bench: Bench) -> None:
        bench.group_protocol = "consumer"
        with pytest.raises(KafkaUnavailable, match="member"):
            bench.join().consumer.membership()

    def test_a_session_time_out_that_brokers_refuse_ends_the_worker(self, bench: Bench) -> None:
        bench.properties = {"session.timeout.ms": "900"}
        with pytest.raises(KafkaFatal, match=r"INVALID_SESSION_TIMEOUT.*group\.min\.session\.timeout\.ms"):
            bench.join().poll_until(lambda: False)

    @pytest.mark.slow
    def test_added_partitions_are_found_within_30_s(self, bench: Bench, member: Member) -> None:
        begun = time.monotonic()
        bench.cluster.add_partitions(bench.input, 6)
        while len(member.told.owned) < 6:
            assert time.monotonic() - begun < 30
            member.consumer.poll(1, 0.2)
        assert member.told.owned == set(range(6))


def test_an_outage_is_told_once_and_reading_goes_on_soon_after_it(
    kafka_server: KafkaServer, kafka_proxy: TcpProxy
) -> None:
    bench = Bench.make(kafka_server.cluster)
    outputs = [Output(bench.input, b"key", str(number).encode(), ()) for number in range(2)]
    sender = bench.publisher(bench.join_alone())
    sender.publish(outputs[:1], {0: 0})
    (partition,) = {record.partition() or 0 for record in bench.cluster.read_all(bench.input)}
    bench.group_id, bench.bootstrap_servers = f"other-{bench.group_id}", kafka_server.proxied_cluster.bootstrap_servers
    member = bench.join_alone()
    member.consumer.go_on(partition, 0)
    assert [record.value for record in member.read(1)] == [b"0"]
    kafka_proxy.cut()
    told: list[str] = []
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline:
        try:
            member.consumer.poll(1, 0.1)
        except KafkaUnavailable as error:
            told.append(str(error))
    assert len(told) == 1, told
    assert told[0].startswith("no broker can be reached (there is no connection: ")
    kafka_proxy.restore()
    begun = time.monotonic()
    bench.cluster.read_all(bench.input)
    member.poll_until(lambda: member.told.owned == {0, 1, 2, 3})
    member.consumer.go_on(partition, 0)
    assert [record.value for record in member.read(1)] == [b"0"]
    assert time.monotonic() - begun < 10
    bench.close()


def murmur2(key: bytes) -> int:
    """Hash as Java's `Utils.murmur2` does. Source: org.apache.kafka.common.utils.Utils."""
    mask, factor = 0xFFFFFFFF, 0x5BD1E995
    state = (0x9747B28C ^ len(key)) & mask
    whole = len(key) // 4 * 4
    for start in range(0, whole, 4):
        word = int.from_bytes(key[start : start + 4], "little") * factor & mask
        word = (word ^ word >> 24) * factor & mask
        state = (state * factor & mask) ^ word
    rest = key[whole:]
    if rest:
        state = (state ^ int.from_bytes(rest, "little")) * factor & mask
    state = (state ^ state >> 13) * factor & mask
    return state ^ state >> 15


def test_murmur2_is_java_s() -> None:
    # Source: org.apache.kafka.common.utils.UtilsTest.
    assert murmur2(b"21") == -973932308 & 0xFFFFFFFF
    assert murmur2(b"foobar") == -790332482 & 0xFFFFFFFF
    assert murmur2(b"a-little-bit-long-string") == -985981536 & 0xFFFFFFFF


def test_a_subject_lands_on_the_partition_that_java_s_clients_give_it(bench: Bench, member: Member) -> None:
    keys = [f"subject-{number}".encode() for number in range(50)]
    bench.publisher(member).publish([bench.out(b"v", key) for key in keys], {0: 1})
    landed = {record.key(): record.partition() for record in bench.cluster.read_all(bench.output)}
    assert landed == {key: (murmur2(key) & 0x7FFFFFFF) % 4 for key in keys}
