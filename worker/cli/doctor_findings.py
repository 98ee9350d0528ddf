"""What `worker doctor` makes of what it was told: findings, each with its remedy. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from worker.adapters.kafka.clients import KafkaConfig
from worker.adapters.kafka.diagnosis import ClusterFacts, GroupFacts, TopicFacts
from worker.adapters.postgres.database import LOCK_TABLE_SHARE
from worker.adapters.postgres.diagnosis import DatabaseFacts
from worker.cli.moments import span_text
from worker.core.records import RECORD_OVERHEAD_BYTES
from worker.settings import Settings
from worker.terminal.texts import counted


class Level(IntEnum):
    """Say how bad it is."""

    OK = 0
    NOTE = 1
    """Worth knowing."""
    WARNING = 2
    """Workers run; something is missing that they are meant to have."""
    ERROR = 3
    """Workers don't start, or what they promise does not hold."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was found, and what to do about it."""

    level: Level
    check: str
    text: str
    remedy: str = ""

    def document(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {"level": self.level.name.lower(), "check": self.check, "found": self.text, "remedy": self.remedy}


CLOCK_MS_MAX: Final = 1_000.0
"""How far clocks may be apart: a record's time is capped at the worker's, and days begin by PostgreSQL's."""

LONG_SECONDS: Final = 3_600.0
REPLICAS: Final = 3

_TXN_OFFSET_COMMIT, _GROUP_HEARTBEAT = 28, 68
_RELEASES: Final = (
    ("4.1", 0, 13),
    ("4.0", 26, 5),
    ("3.7", 71, 0),
    ("3.1", 1, 13),
    ("3.0", 65, 0),
    ("2.8", 60, 0),
    ("2.5", _TXN_OFFSET_COMMIT, 3),
)
"""The oldest release of Apache Kafka whose brokers take a request, by its number, in this version."""


def of_versions(versions: Mapping[int, int], settings: Settings) -> Iterator[Finding]:
    """Judge what the brokers speak."""
    check = "brokers' version"
    if not versions:
        yield Finding(Level.NOTE, check, "the brokers did not say what they speak")
        return
    release = next((name for name, key, least in _RELEASES if versions.get(key, -1) >= least), None)
    yield Finding(Level.OK, check, f"they speak as Kafka {release} or later" if release else "older than Kafka 2.5")
    if settings.delivery == "exactly_once" and versions.get(_TXN_OFFSET_COMMIT, -1) < 3:  # noqa: PLR2004
        yield Finding(
            Level.ERROR,
            check,
            "they don't check who commits offsets in a transaction (KIP-447)",
            "upgrade the brokers to Kafka 2.5 or later; WORKER_DELIVERY=at_least_once does without",
        )
    if settings.group_protocol == "consumer" and versions.get(_GROUP_HEARTBEAT, -1) < 1:
        remedy = "upgrade the brokers to Kafka 4.0 or later, or set WORKER_GROUP_PROTOCOL=classic"
        yield Finding(Level.ERROR, check, "they don't have the consumer group protocol of KIP-848", remedy)


def of_cluster(facts: ClusterFacts, config: KafkaConfig) -> Iterator[Finding]:
    """Judge the brokers' settings against ours."""
    check = "brokers' settings"
    if not facts.settings:
        yield Finding(Level.NOTE, check, "the brokers don't tell their settings", "grant DESCRIBE_CONFIGS to see them")
        return
    told = [*_timeouts(facts, config), *(_of_internal_topics(facts) if facts.brokers >= REPLICAS else ())]
    yield from told or [Finding(Level.OK, check, f"{facts.brokers} of them; time-outs and internal topics fit")]


def _timeouts(facts: ClusterFacts, config: KafkaConfig) -> Iterator[Finding]:
    ours = int(config.properties.get("transaction.timeout.ms", config.transaction_timeout_ms))
    longest = _number(facts.settings, "transaction.max.timeout.ms")
    if longest is not None and ours > longest:
        yield Finding(
            Level.ERROR,
            "brokers' settings",
            f"transactions may take {longest} ms, and the worker asks for {ours}",
            f"set WORKER_KAFKA__TRANSACTION_TIMEOUT_MS to {longest} or less, or raise transaction.max.timeout.ms",
        )
    session = config.effective_session_timeout_ms
    least = _number(facts.settings, "group.min.session.timeout.ms") or 0
    most = _number(facts.settings, "group.max.session.timeout.ms") or session
    if config.group_protocol == "classic" and not least <= session <= most:
        yield Finding(
            Level.ERROR,
            "brokers' settings",
            f"a session may last from {least} to {most} ms, and the worker asks for {session}",
            "set WORKER_KAFKA__SESSION_TIMEOUT_MS between them",
        )


def _of_internal_topics(facts: ClusterFacts) -> Iterator[Finding]:
    for name, least in (
        ("offsets.topic.replication.factor", REPLICAS),
        ("transaction.state.log.replication.factor", REPLICAS),
        ("transaction.state.log.min.isr", 2),
    ):
        value = _number(facts.settings, name)
        if value is not None and value < least:
            text = f"{name} is {value}: the loss of one broker can lose offsets or transactions"
            yield Finding(Level.WARNING, "brokers' settings", text, f"set it to {least}")


def of_topics(
    wanted: Sequence[str], facts: Mapping[str, TopicFacts], settings: Settings, brokers: int
) -> Iterator[Finding]:
    """Judge the topics; the first of those that are wanted is the input topic, the second that of dead letters."""
    for name in wanted:
        if name not in facts:
            yield _missing(name, settings)
            continue
        found = [*_of_topic(facts[name], brokers), *_rights(facts[name], "READ" if name == wanted[0] else "WRITE")]
        shape = f"{facts[name].partitions} partitions, {facts[name].replicas} replicas"
        yield from found or [Finding(Level.OK, f"topic {name}", shape)]
    yield from _sizes(wanted, facts)


def _missing(name: str, settings: Settings) -> Finding:
    remedy = "make it, or set WORKER_CREATE_TOPICS=true"
    if settings.create_topics:
        return Finding(Level.NOTE, f"topic {name}", "it is not there; the next worker that starts makes it")
    return Finding(Level.ERROR, f"topic {name}", "it is not there", remedy)


_TopicRule = tuple[Level, Callable[[TopicFacts, int], bool], str, str]

_TOPIC_RULES: Final[Sequence[_TopicRule]] = (
    (
        Level.ERROR,
        lambda topic, _: "compact" in topic.settings.get("cleanup.policy", ""),
        "it is compacted: events of one subject are thrown away for the newest",
        "set cleanup.policy=delete",
    ),
    (
        Level.ERROR,
        lambda topic, _: topic.leaderless > 0,
        "partitions of it have no leader",
        "bring their brokers back; see `kafka-topics --describe --unavailable-partitions`",
    ),
    (
        Level.WARNING,
        lambda topic, brokers: brokers >= REPLICAS and topic.replicas < REPLICAS,
        "it has fewer replicas than three",
        "give it a replication factor of 3",
    ),
    (
        Level.WARNING,
        lambda topic, _: topic.replicas > 1 and (_number(topic.settings, "min.insync.replicas") or 2) < 2,  # noqa: PLR2004
        "min.insync.replicas is 1: the loss of one broker can lose what was acknowledged",
        "set min.insync.replicas=2",
    ),
    (
        Level.WARNING,
        lambda topic, _: topic.settings.get("unclean.leader.election.enable") == "true",
        "an unclean leader may be elected, which loses records",
        "set unclean.leader.election.enable=false",
    ),
    (
        Level.WARNING,
        lambda topic, _: topic.lagging > 0,
        "replicas of it are not in sync",
        "see `kafka-topics --describe --under-replicated-partitions`",
    ),
    (
        Level.NOTE,
        lambda topic, brokers: brokers < REPLICAS and topic.replicas == 1,
        "it has one replica: what its broker loses is lost",
        "run three brokers, and topics with a replication factor of 3",
    ),
)


def _of_topic(facts: TopicFacts, brokers: int) -> Iterator[Finding]:
    for level, holds, text, remedy in _TOPIC_RULES:
        if holds(facts, brokers):
            yield Finding(level, f"topic {facts.name}", text, remedy)


def _rights(facts: TopicFacts, operation: str) -> Iterator[Finding]:
    if facts.operations is not None and operation not in facts.operations:
        text = f"this worker may not {operation.lower()} it"
        yield Finding(Level.ERROR, f"topic {facts.name}", text, f"grant it {operation}")


def _sizes(wanted: Sequence[str], facts: Mapping[str, TopicFacts]) -> Iterator[Finding]:
    if any(name not in facts for name in wanted[:2]):
        return
    taken, kept = (_number(facts[name].settings, "max.message.bytes") for name in wanted[:2])
    if taken is not None and kept is not None and kept < taken + RECORD_OVERHEAD_BYTES:
        text = f"a record of {wanted[0]} may have {taken} bytes, which as a dead letter with its reason does not fit"
        remedy = f"set max.message.bytes of {wanted[1]} above that of {wanted[0]}, by 16 KiB, say"
        yield Finding(Level.NOTE, f"topic {wanted[1]}", f"{text}: its bytes stay in the journal", remedy)


def of_group(group_id: str, facts: GroupFacts, partitions: int) -> Iterator[Finding]:
    """Judge the consumer group against the input topic's partitions."""
    check = f"group {group_id}"
    if facts.operations is not None and "READ" not in facts.operations:
        yield Finding(Level.ERROR, check, "this worker may not read by it", f"grant it READ on the group {group_id}")
    if facts.members is None:
        yield Finding(Level.NOTE, check, "the brokers don't tell who is in it")
    elif facts.members > partitions:
        text = f"{facts.members} members share {partitions} partitions: {facts.members - partitions} have nothing to do"
        yield Finding(Level.WARNING, check, text, f"run {partitions} workers at most, or add partitions")
    elif facts.members == 0:
        yield Finding(Level.NOTE, check, "nobody is in it: no worker runs")
    else:
        share = f"{counted(facts.members, 'member')} {'shares' if facts.members == 1 else 'share'}"
        yield Finding(Level.OK, check, f"{share} {counted(partitions, 'partition')}")
    if not facts.is_stable:
        yield Finding(Level.NOTE, check, "its partitions are being shared out just now")


def of_hidden_rights(facts: ClusterFacts, settings: Settings) -> Iterator[Finding]:
    """Say what rights can't be seen, where there are any to be had."""
    if facts.operations is None or "ALTER" in facts.operations or settings.delivery != "exactly_once":
        return
    yield Finding(
        Level.NOTE,
        "rights on transactions",
        "brokers don't tell who may use a transactional id",
        f"grant DESCRIBE and WRITE on transactional ids that begin with {settings.group_id}",
    )


def of_newest(topic: str, newest: int | None, now: int) -> Iterator[Finding]:
    """Judge the clock of those who write into the input topic by the newest time that a record has."""
    if newest is None:
        yield Finding(Level.NOTE, "clock of producers", f"{topic} has no record to tell it by")
    elif newest - now > CLOCK_MS_MAX:
        text = f"a record of {topic} is {span_text(newest - now)} ahead of this machine"
        remedy = "set the clocks by NTP: steps run at the worker's time until it has caught up"
        yield Finding(Level.WARNING, "clock of producers", text, remedy)
    else:
        ago = span_text(now - newest)
        yield Finding(Level.OK, "clock of producers", f"not ahead: the newest record of {topic} is {ago} old")


def of_database(facts: DatabaseFacts, settings: Settings) -> Iterator[Finding]:
    """Judge the database."""
    found = [Finding(level, check, text, remedy) for level, holds, check, text, remedy in _RULES if holds(facts)]
    yield Finding(Level.OK, "database", f"PostgreSQL {facts.version}")
    yield from found
    needed = settings.batch_records_max * LOCK_TABLE_SHARE
    fits = needed <= facts.lock_table_size
    yield Finding(
        Level.OK if fits else Level.ERROR,
        "lock table",
        f"it holds {facts.lock_table_size} locks; batches of {settings.batch_records_max} want {needed}",
        ""
        if fits
        else f"lower WORKER_BATCH_RECORDS_MAX to {facts.lock_table_size // LOCK_TABLE_SHARE} or raise "
        "max_locks_per_transaction",
    )
    if facts.lacking:
        text = f"this user lacks {', '.join(right for right, _ in facts.lacking)}"
        remedy = f"as the owner of the tables: {'; '.join(statement for _, statement in facts.lacking)}"
        yield Finding(Level.ERROR, "database's rights", text, remedy)
    yield from _database_clock(facts)


_DatabaseRule = tuple[Level, Callable[[DatabaseFacts], bool], str, str, str]


def _off(name: str) -> Callable[[DatabaseFacts], bool]:
    return lambda facts: facts.settings.get(name) == "off"


def _on(name: str) -> Callable[[DatabaseFacts], bool]:
    return lambda facts: facts.settings.get(name) == "on"


_RULES: Final[Sequence[_DatabaseRule]] = (
    (Level.ERROR, _off("fsync"), "database", "fsync is off: a crash loses what was committed", "set fsync=on"),
    (Level.ERROR, _on("in_hot_standby"), "database", "it is a standby", "name the primary in WORKER_DATABASE_URL"),
    (
        Level.ERROR,
        _on("default_transaction_read_only"),
        "database",
        "transactions are read-only",
        "set default_transaction_read_only=off for this user and database",
    ),
    (
        Level.WARNING,
        _off("full_page_writes"),
        "database",
        "full_page_writes is off: a crash can tear pages",
        "set full_page_writes=on, unless the file system writes whole pages",
    ),
    (Level.WARNING, _off("autovacuum"), "database", "autovacuum is off: tables grow", "set autovacuum=on"),
    (
        Level.NOTE,
        lambda facts: facts.settings.get("synchronous_standby_names") == "",
        "database",
        "no standby is synchronous: a failover can lose commits, whose records are then run again",
        "set synchronous_standby_names, if you fail over",
    ),
    (
        Level.WARNING,
        lambda facts: facts.longest_seconds > LONG_SECONDS,
        "database",
        "a transaction has been open for more than an hour, and keeps old rows from being removed",
        "see pg_stat_activity by xact_start, and end it",
    ),
    (
        Level.NOTE,
        lambda facts: facts.is_pooled,
        "pooler",
        "something stands between; transactions come through it whole",
        "session and transaction mode both do; statement mode does not",
    ),
    (
        Level.ERROR,
        lambda facts: not facts.has_name,
        "pooler",
        "the session's name does not arrive: the session of a worker that was stopped can't be told and ended",
        "have the pooler pass application_name on as it is (PgBouncer: application_name_add_host=0)",
    ),
)


def _database_clock(facts: DatabaseFacts) -> Iterator[Finding]:
    apart = abs(facts.clock_ahead_ms)
    text = f"{apart:.0f} ms {'ahead of' if facts.clock_ahead_ms > 0 else 'behind'} this machine"
    if apart - facts.clock_doubt_ms > CLOCK_MS_MAX:
        yield Finding(Level.WARNING, "clock of the database", text, "set the clocks by NTP")
    else:
        yield Finding(Level.OK, "clock of the database", f"{text}, give or take {facts.clock_doubt_ms:.0f} ms")


def _number(settings: Mapping[str, str], name: str) -> int | None:
    text = settings.get(name, "")
    return int(text) if text.removeprefix("-").isdecimal() else None
