"""What becomes of outputs and offsets when a publication does not go well, on Apache Kafka."""

import os
import time
from collections.abc import Callable, Iterator
from threading import Thread

import pytest
from confluent_kafka.admin._acl import AclOperation
from confluent_kafka.admin._resource import ResourceType

from tests.integration.kafka_bench import PARTITIONS, PATIENCE_SECONDS, Bench, Member, Publishing, allow_only
from tests.servers.kafka import QUICK, KafkaCluster, KafkaServer
from tests.servers.proxy import TcpProxy
from worker.adapters.kafka.publisher import KafkaPublisher
from worker.adapters.kafka.topics import DEFAULT_RECORD_BYTES_MAX, TopicAdmin
from worker.core.records import Output
from worker.ports import KafkaUnavailable, MembershipRefused, PublicationUnknown

CALL_SECONDS = 3.0


@pytest.fixture
def bench(kafka_cluster: KafkaCluster) -> Iterator[Bench]:
    made = Bench.make(kafka_cluster)
    made.properties = {"topic.metadata.propagation.max.ms": "1000"}
    yield made
    made.close()


@pytest.fixture
def member(bench: Bench) -> Member:
    return bench.join_alone()


@pytest.fixture(scope="module")
def own_server(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """Start a broker to be killed and restarted. It keeps rights; all that nothing is said of is allowed."""
    authorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
    rights = {"authorizer.class.name": authorizer, "allow.everyone.if.no.acl.found": "true"}
    server = KafkaServer(tmp_path_factory.mktemp("own"), java_options=QUICK, properties=rights)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_proxy(own_server: KafkaServer) -> Iterator[TcpProxy]:
    with TcpProxy(own_server.proxied_port, own_server.proxy_port) as proxy:
        yield proxy


@pytest.fixture
def own(own_server: KafkaServer) -> Iterator[Bench]:
    made = Bench.make(own_server.cluster)
    yield made
    made.close()


@pytest.fixture
def hasty(own: Bench) -> Bench:
    """Give the bench of the own broker little time for each call."""
    own.call_timeout_seconds = CALL_SECONDS
    return own


@pytest.fixture(params=["transactional", "plain"])
def publishing(request: pytest.FixtureRequest, bench: Bench, member: Member) -> Publishing:
    return bench.publisher(member) if request.param == "transactional" else bench.plain_publisher(member)


def failure(publishing: Publishing, outputs: list[Output], offset: int = 1) -> PublicationUnknown:
    with pytest.raises(PublicationUnknown) as raised:
        publishing.publish(outputs, {0: offset})
    return raised.value


def with_patience(call: Callable[[], None]) -> None:
    """Call until it succeeds, as a worker does whose servers come back."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            call()
        except (KafkaUnavailable, PublicationUnknown):
            assert time.monotonic() < deadline, "waited in vain"
        else:
            return


def share(bench: Bench, member: Member) -> None:
    """Have a second member take its half of the partitions."""
    second = bench.join()

    def is_shared() -> bool:
        member.consumer.poll(1, 0.05)
        return len(second.told.owned) == PARTITIONS // 2

    second.poll_until(is_shared)


class TestRefusedOutputs:
    def test_a_topic_that_stays_unknown_refuses_its_outputs_alone(self, bench: Bench, publishing: Publishing) -> None:
        lost = Output("no-such-topic", b"key", b"1", ())
        error = failure(publishing, [bench.out(b"2"), lost, bench.out(b"3")])
        assert error.refused == {lost: "topic no-such-topic does not exist; create it"}
        publishing.real.replace()
        publishing.publish([bench.out(b"2"), bench.out(b"3")], {0: 1})
        assert bench.visible()[-2:] == [b"2", b"3"]
        assert publishing.member.committed()[0] == 1

    def test_a_record_that_is_too_large_is_told_from_those_sent_with_it(
        self, bench: Bench, publishing: Publishing
    ) -> None:
        bench.limit_outputs(4_000)
        small, large = [bench.out(os.urandom(1_000)) for _ in range(6)], bench.out(os.urandom(5_000))
        undecided = failure(publishing, [*small[:3], large, *small[3:]])
        assert undecided.refused == {}, "brokers refuse all records that come together"
        publishing.real.replace()
        decided = failure(publishing, [*small[:3], large, *small[3:]])
        assert decided.refused == {large: f"the record is too large for topic {bench.output}"}
        publishing.real.replace()
        publishing.publish(small, {0: 1})
        assert [value for value in bench.visible() if value == large.value] == []
        assert bench.visible()[-6:] == [one.value for one in small]

    def test_records_that_are_too_large_together_go_out_one_by_one(self, bench: Bench, publishing: Publishing) -> None:
        bench.limit_outputs(4_000)
        outputs = [bench.out(os.urandom(1_000)) for _ in range(20)]
        assert failure(publishing, outputs).refused == {}
        publishing.real.replace()
        publishing.publish(outputs, {0: 1})
        assert bench.visible() == [one.value for one in outputs]
        assert publishing.real._outbox is not None
        assert not publishing.real._outbox.is_alone, "for this once"

    def test_a_record_without_a_key_is_refused_by_a_topic_that_compacts(
        self, bench: Bench, publishing: Publishing
    ) -> None:
        bench.cluster.set_topic(bench.output, "cleanup.policy", "compact")
        good, bad = bench.out(b"good"), Output(bench.output, None, b"bad", ())
        # Without keys, records go to any partition: two tries show that the record itself is meant.
        refused = [failure(publishing, [good, bad]).refused]
        publishing.real.replace()
        refused.append(failure(publishing, [good, bad]).refused)
        assert refused[0] == {}
        assert list(refused[1]) == [bad]
        assert "has none" in refused[1][bad]

    def test_other_failures_refuse_nothing(self, bench: Bench, member: Member) -> None:
        fenced = bench.publisher(member, f"fenced-{bench.group_id}")
        bench.publisher(member, f"fenced-{bench.group_id}")
        assert failure(fenced, [bench.out(b"1")]).refused == {}


class TestTransactions:
    def test_a_fenced_producer_says_so_and_goes_on_once_it_is_replaced(self, bench: Bench, member: Member) -> None:
        first = bench.publisher(member, f"both-{bench.group_id}")
        bench.publisher(member, f"both-{bench.group_id}")
        error = failure(first, [bench.out(b"1")])
        assert "(fenced; _FENCED" in str(error)
        assert "partitions that are still owned are taken again" in str(error)
        first.real.replace()
        first.publish([bench.out(b"2")], {0: 2})
        assert bench.visible() == [b"2"]
        assert member.committed()[0] == 2

    def test_after_a_failure_nothing_goes_out_before_the_producer_is_replaced(
        self, bench: Bench, member: Member
    ) -> None:
        publishing = bench.publisher(member)
        publishing.real.close()
        assert "begin_transaction failed" in str(failure(publishing, [bench.out(b"1")]))

    def test_a_membership_of_before_a_rebalance_is_refused(self, bench: Bench, member: Member) -> None:
        publishing = bench.publisher(member)
        before = member.consumer.membership()
        share(bench, member)
        publishing.real.send([bench.out(b"1")])
        with pytest.raises(MembershipRefused, match="send_offsets_to_transaction: ILLEGAL_GENERATION"):
            publishing.real.send_offsets({0: 5}, before)
        publishing.real.replace()
        assert bench.visible() == []
        assert member.committed()[0] is None

    def test_a_member_that_lost_everything_has_no_membership(self, bench: Bench, member: Member) -> None:
        member.consumer._client.unsubscribe()
        member.poll_until(lambda: not member.told.owned)
        with pytest.raises(KafkaUnavailable, match="member"):
            member.consumer.membership()

    @pytest.mark.parametrize("fault", ["cut", "stall"])
    def test_an_end_that_is_not_known_is_told_in_time_and_cleared_up_by_the_next_producer(
        self, own_server: KafkaServer, own_proxy: TcpProxy, hasty: Bench, fault: str
    ) -> None:
        member = hasty.join_alone()
        hasty.bootstrap_servers = own_server.proxied_cluster.bootstrap_servers
        publishing = hasty.publisher(member)
        publishing.real.send([hasty.out(b"1")])
        publishing.real.send_offsets({0: 1}, member.consumer.membership())
        getattr(own_proxy, fault)()
        begun = time.monotonic()
        with pytest.raises(PublicationUnknown, match="commit_transaction failed"):
            publishing.real.commit()
        with pytest.raises(KafkaUnavailable, match="can't be taken"):
            publishing.real.replace()
        assert time.monotonic() - begun < 3 * CALL_SECONDS
        own_proxy.restore()
        with_patience(publishing.real.replace)
        committed = member.committed()[0]
        assert hasty.visible() == ([b"1"] if committed == 1 else []), "both or none"
        publishing.publish([hasty.out(b"2")], {0: 2})
        assert hasty.visible()[-1] == b"2"
        assert member.committed()[0] == 2

    def test_offsets_are_given_up_in_time_when_the_broker_is_gone(self, own_server: KafkaServer, hasty: Bench) -> None:
        member = hasty.join_alone()
        publishing = hasty.publisher(member)
        publishing.publish([hasty.out(b"1")], {0: 1})
        own_server.cluster.wait_until_settled([hasty.output, "__consumer_offsets"])
        publishing.real.send([hasty.out(b"2")])
        membership = member.consumer.membership()
        own_server.kill()
        begun = time.monotonic()
        with pytest.raises(PublicationUnknown, match="send_offsets_to_transaction"):
            publishing.real.send_offsets({0: 2}, membership)
        assert time.monotonic() - begun < CALL_SECONDS + 7
        own_server.start()
        with_patience(publishing.real.replace)
        assert hasty.visible() == [b"1"]

    def test_a_refusal_is_told_at_once_though_others_never_settle(self, bench: Bench, member: Member) -> None:
        bench.limit_outputs(4_000)
        publishing = bench.publisher(member)
        publishing.real._sends_alone = True
        # What goes out behind a record that is refused is out of order to the broker, and mostly stays in the queue.
        for _ in range(5):
            publishing.real.replace()
            outputs = [bench.out(os.urandom(size)) for size in (1_000, 5_000, 1_000, 1_000)]
            begun = time.monotonic()
            assert list(failure(publishing, outputs).refused) == outputs[1:2]
            assert time.monotonic() - begun < bench.call_timeout_seconds / 2


class TestWithoutTransactions:
    @pytest.fixture
    def plain(self, bench: Bench, member: Member) -> Publishing:
        return bench.plain_publisher(member)

    def test_outputs_and_then_offsets_are_there_after_the_commit(
        self, bench: Bench, member: Member, plain: Publishing
    ) -> None:
        plain.real.send([bench.out(b"1")])
        plain.real.send_offsets({0: 5, 3: 7}, member.consumer.membership())
        assert member.committed() == [None] * 4
        plain.real.commit()
        assert bench.visible() == [b"1"]
        assert member.committed() == [5, None, None, 7]

    def test_offsets_stay_where_they_are_while_an_output_is_missing(
        self, bench: Bench, member: Member, plain: Publishing
    ) -> None:
        failure(plain, [bench.out(b"1"), Output("no-such-topic", b"key", b"2", ())])
        assert member.committed()[0] is None

    def test_offsets_of_partitions_that_were_given_back_are_not_committed(
        self, bench: Bench, member: Member, plain: Publishing
    ) -> None:
        before = member.consumer.membership()
        share(bench, member)
        plain.real.send([bench.out(b"1")])
        plain.real.send_offsets({0: 5}, before)
        with pytest.raises(PublicationUnknown, match="partitions were given back since"):
            plain.real.commit()
        assert member.committed()[0] is None

    def test_offsets_of_partitions_that_are_kept_are_committed_through_a_rebalance(
        self, bench: Bench, member: Member, plain: Publishing
    ) -> None:
        sharing = Thread(target=share, args=(bench, member))
        sharing.start()
        offset, failures = 0, []
        while sharing.is_alive():
            membership = member.consumer.membership()
            offset += 1
            try:
                member.consumer.commit_offsets(dict.fromkeys(sorted(member.told.owned), offset), membership)
            except KafkaUnavailable as error:
                failures.append(str(error))
        sharing.join()
        assert offset > 1
        assert [one for one in failures if "partitions were given back since" not in one] == []
        assert member.told.losses == []

    def test_a_broker_that_is_away_is_told_in_time(self, own_server: KafkaServer, hasty: Bench) -> None:
        member = hasty.join_alone()
        plain = hasty.plain_publisher(member)
        plain.publish([hasty.out(b"1")], {0: 1})
        membership = member.consumer.membership()
        own_server.kill()
        begun = time.monotonic()
        plain.real.send([hasty.out(b"2")])
        plain.real.send_offsets({0: 2}, membership)
        with pytest.raises(PublicationUnknown, match="flush failed"):
            plain.real.commit()
        with pytest.raises(KafkaUnavailable, match=r"no broker answers the producer \(.*Connection refused"):
            plain.real.replace()
        assert time.monotonic() - begun < 3 * CALL_SECONDS
        own_server.start()

        def publish_again() -> None:
            member.consumer.poll(1, 0.1)
            plain.real.replace()
            plain.publish([hasty.out(b"2")], {0: 2})

        with_patience(publish_again)
        assert set(hasty.visible()) == {b"1", b"2"}
        assert member.committed()[0] == 2


class TestRights:
    def test_a_topic_that_may_not_be_written_to_is_measured_as_one_that_is_not_there(self, own: Bench) -> None:
        denied, hidden = own.cluster.make_topic("denied"), own.cluster.make_topic("hidden")
        allow_only(own.cluster, ResourceType.TOPIC, denied, [AclOperation.READ])
        allow_only(own.cluster, ResourceType.TOPIC, hidden, [AclOperation.DESCRIBE_CONFIGS])
        admin = TopicAdmin(own.config)
        names = [own.output, denied, hidden, "no-such-topic"]
        assert admin.record_bytes_max(names) == {own.output: DEFAULT_RECORD_BYTES_MAX}
        assert admin.denied(names) == {
            denied: f"this worker may not write to topic {denied}; grant it WRITE",
            hidden: f"this worker may not even see topic {hidden}; grant it DESCRIBE and WRITE",
        }

    def test_missing_rights_on_group_and_transactional_id_are_named(self, own: Bench) -> None:
        publishing = own.publisher(own.join_alone())
        allow_only(own.cluster, ResourceType.TRANSACTIONAL_ID, "denied", [AclOperation.DESCRIBE])
        with pytest.raises(KafkaUnavailable, match="grant this worker DESCRIBE and WRITE on transactional ids"):
            publishing.real.fence("denied")
        membership = publishing.member.consumer.membership()
        allow_only(own.cluster, ResourceType.GROUP, own.group_id, [AclOperation.DESCRIBE])
        publishing.real.send([own.out(b"1")])
        with pytest.raises(PublicationUnknown, match="grant this worker READ on its consumer group"):
            publishing.real.send_offsets({0: 1}, membership)

    @pytest.mark.parametrize("hidden", [False, True])
    @pytest.mark.parametrize("kind", ["transactional", "plain"])
    def test_a_topic_that_may_not_be_written_to_refuses_its_outputs_alone(
        self, own: Bench, kind: str, hidden: bool
    ) -> None:
        denied = own.cluster.make_topic("denied")
        allow_only(
            own.cluster,
            ResourceType.TOPIC,
            denied,
            [AclOperation.DESCRIBE_CONFIGS if hidden else AclOperation.READ],
        )
        member = own.join_alone()
        publishing = own.publisher(member) if kind == "transactional" else own.plain_publisher(member)
        outputs = [own.out(b"1"), Output(denied, b"key", b"2", ()), own.out(b"3")]
        error = failure(publishing, outputs)
        assert list(error.refused) == [outputs[1]], error
        assert denied in error.refused[outputs[1]]
        assert "WRITE" in error.refused[outputs[1]]
        publishing.real.replace()
        publishing.publish([outputs[0], outputs[2]], {0: 1})
        assert own.visible()[-2:] == [b"1", b"3"]

    def test_what_ended_a_transaction_is_told_by_calls_that_come_too_late(self, own: Bench) -> None:
        denied = own.cluster.make_topic("denied")
        allow_only(own.cluster, ResourceType.TOPIC, denied, [AclOperation.READ])
        real = own.publisher(own.join_alone()).real
        assert isinstance(real, KafkaPublisher)
        real.send([Output(denied, b"key", b"1", ())])

        def put_until_it_fails() -> None:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while time.monotonic() < deadline:
                real._call("produce", lambda outbox: outbox.put([own.out(b"2")]))

        with pytest.raises(PublicationUnknown, match=r"\(abortable; TOPIC_AUTHORIZATION_FAILED"):
            put_until_it_fails()
