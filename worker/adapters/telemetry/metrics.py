"""Every metric of the worker, in one table: name, unit, labels, meaning, and what to do when it moves.

Names are OpenTelemetry's, by its semantic conventions where there are some. No label is a subject, an event's id or
anything else that has as many values as there are records.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_SECONDS: Final = "s"
_SUFFIXES: Final = {_SECONDS: "_seconds", "By": "_bytes"}

_DURATIONS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_AGES: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 3_600.0, 21_600.0)
_SIZES: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0)


class Kind(StrEnum):
    """Say how the values of a metric add up."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Label:
    """One label, and what bounds its values."""

    name: str
    values: str

    @property
    def prometheus_name(self) -> str:
        """Give the name at /metrics."""
        return self.name.replace(".", "_")


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `bounds` are those of a histogram's buckets; `remedy` says what to do when it moves."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    remedy: str
    labels: tuple[Label, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def prometheus_name(self) -> str:
        """Give the name at /metrics; a histogram's series have _bucket, _sum and _count behind it."""
        name = self.name.replace(".", "_") + _SUFFIXES.get(self.unit, "")
        return f"{name}_total" if self.kind is Kind.COUNTER else name


MACHINE: Final = Label("machine", "the orchestrators' names")
VERSION: Final = Label("version", "their versions")
STATE: Final = Label(
    "state", "the states of their charts; of entries also `(ended)`, where a chart has come to its end"
)
STATUS: Final = Label("status", "`active`, `done`, `cancelled`")
OUTCOME: Final = Label(
    "outcome", "`advanced`, `unexpected`, `failed`, `cancelled`, `duplicate`, `ignored`, `dead_lettered`"
)
REASON: Final = Label("reason", "the reasons that [dead letters](dead-letters.md) have")
IGNORED_REASON: Final = Label("reason", "`NOT_HOSTED`, `ENDED`, `FOREIGN`, `ABSENT`, `CHANGED`")
PARTITION: Final = Label("messaging.destination.partition.id", "the partitions that this worker has, or had")
PARTITION_STATE: Final = Label("state", "the states of ARCHITECTURE.md's table")
STAGE: Final = Label("stage", "`poll`, `decode`, `postgres`, `step`, `encode`, `kafka`")
WHAT: Final = Label("what", "a fixed few")
CHANGE: Final = Label(
    "what",
    "`journal_days_made`, `journal_days_dropped`, `journal_rows_removed`, `instances_removed`, `instances_archived`",
)
PART: Final = Label("part", "the parts that `/readyz` tells")
ERROR: Final = Label("error.type", "classes of errors; empty if there was none")
SYSTEM: Final = Label("messaging.system", "`kafka`")
OPERATION: Final = Label("messaging.operation.name", "`poll`, `send`, `send_offsets`, `commit`, `abort`")
TOPIC: Final = Label("messaging.destination.name", "the input topic, the dead letters', one per domain")
GROUP: Final = Label("messaging.consumer.group.name", "this worker's group")
DATABASE: Final = Label("db.system.name", "`postgresql`")
DATABASE_OPERATION: Final = Label("db.operation.name", "the calls of the ports `Database` and `Positions`")
POOL: Final = Label("db.client.connection.pool.name", "`worker`")
POOL_STATE: Final = Label("db.client.connection.state", "`used`, `idle`")
CPU_MODE: Final = Label("cpu.mode", "`user`, `system`")

CONSUMED: Final = Metric(
    "messaging.client.consumed.messages",
    Kind.COUNTER,
    "{message}",
    "Records that were polled from the input topic. Some are polled again: after a failure, a rebalance, a pause.",
    "Flat while lag grows: look at `/readyz` and at orchestrator.partitions.",
    (SYSTEM, OPERATION, TOPIC, GROUP),
)
SENT: Final = Metric(
    "messaging.client.sent.messages",
    Kind.COUNTER,
    "{message}",
    "Records that were handed to the producer, by topic. What an abort took back is sent, and counted, again.",
    "Flat while records are consumed: the machines emit nothing, or publications fail.",
    (SYSTEM, OPERATION, TOPIC),
)
MESSAGING_SECONDS: Final = Metric(
    "messaging.client.operation.duration",
    Kind.HISTOGRAM,
    _SECONDS,
    "Time of one call to Kafka that publishes a batch.",
    "Slow `commit`: brokers, replication (`min.insync.replicas`) or the network. Errors: orchestrator.publications.",
    (SYSTEM, OPERATION, ERROR),
    _DURATIONS,
)
PROCESSED: Final = Metric(
    "messaging.process.duration",
    Kind.HISTOGRAM,
    _SECONDS,
    "Time of one batch, from its locks to COMMIT.",
    "Compare with orchestrator.stage.time: PostgreSQL, or the machines' own code.",
    (SYSTEM, OPERATION),
    _DURATIONS,
)
BATCH_RECORDS: Final = Metric(
    "orchestrator.batch.records",
    Kind.HISTOGRAM,
    "{record}",
    "Records applied in one transaction.",
    "Always at WORKER_BATCH_RECORDS_MAX: the worker is behind, add workers up to the number of partitions.",
    (),
    _SIZES,
)
EVENTS: Final = Metric(
    "orchestrator.events",
    Kind.COUNTER,
    "{event}",
    "Records that were applied, by what they came to. Counted after COMMIT.",
    "More `failed`: a machine or a contract broke, see the journal. More `unexpected`: events come in another order "
    "than the charts have. `duplicate`: producers send twice, which is harmless. `cancelled`: by operators.",
    (OUTCOME,),
)
DEAD_LETTERS: Final = Metric(
    "orchestrator.dead_letters",
    Kind.COUNTER,
    "{event}",
    "Records that became dead letters, by reason.",
    "`worker dead-letters list --reason R`; mend the cause, then redrive.",
    (REASON,),
)
IGNORED: Final = Metric(
    "orchestrator.ignored",
    Kind.COUNTER,
    "{event}",
    "Events that were none of this worker's business, and commands that had nothing to do, by reason.",
    "`NOT_HOSTED` where it is not expected: WORKER_MACHINES lacks a package, or a producer uses the wrong topic.",
    (IGNORED_REASON,),
)
EVENT_AGE: Final = Metric(
    "orchestrator.event.age",
    Kind.HISTOGRAM,
    _SECONDS,
    "End-to-end age: from a record's Kafka timestamp until what it caused is visible. One value for each partition of "
    "a publication, of its oldest record.",
    "Above your goal: see orchestrator.partition.lag. It is as right as the producers' clocks.",
    (),
    _AGES,
)
PARTITION_AGE: Final = Metric(
    "orchestrator.partition.age",
    Kind.GAUGE,
    _SECONDS,
    "End-to-end age of the oldest record of a partition's last publication.",
    "High for one partition alone: it has more traffic than others, or was just taken over.",
    (PARTITION,),
)
LAG: Final = Metric(
    "orchestrator.partition.lag",
    Kind.GAUGE,
    "{record}",
    "Records of a partition that are not applied yet. Looked up every few seconds.",
    "Growing everywhere: add workers, or see orchestrator.stage.time. Growing for one: orchestrator.partitions.",
    (PARTITION,),
)
LAG_AGE: Final = Metric(
    "orchestrator.partition.lag.age",
    Kind.GAUGE,
    _SECONDS,
    "How long a partition has had records that are not applied: since the last applied one was produced, or since lag "
    "was first seen, whichever is later. 0 without lag.",
    "The one to alert on: it tells a partition that stands still from one that is busy.",
    (PARTITION,),
)
PARTITIONS: Final = Metric(
    "orchestrator.partitions",
    Kind.GAUGE,
    "{partition}",
    "Partitions that are assigned to this worker, by state.",
    "`refused`: `worker partitions list` says why and what to do. `waiting`: a roll-out, or a flood of dead letters. "
    "`taking` for long: PostgreSQL or Kafka is away. None at all: more workers than partitions, or it can't join.",
    (PARTITION_STATE,),
)
REBALANCES: Final = Metric(
    "orchestrator.rebalances",
    Kind.COUNTER,
    "{rebalance}",
    "Rebalances that gave or took partitions: `assigned`, `revoked`, `lost`.",
    "Many: workers restart, or are evicted since they don't poll in time. `lost`: the session timed out.",
    (WHAT,),
)
RETRIES: Final = Metric(
    "orchestrator.retries",
    Kind.COUNTER,
    "{retry}",
    "What is tried again after a back-off: `unsettled` (partitions whose position is uncertain), `taking_failed`, "
    "`kafka_unavailable`.",
    "Going on for minutes: the log's line of that name has the cause.",
    (WHAT, ERROR),
)
PUBLICATIONS: Final = Metric(
    "orchestrator.publications",
    Kind.COUNTER,
    "{publication}",
    "Kafka transactions by how they ended: `committed`; `aborted` (the group had moved on; sent again); `unknown`.",
    "`unknown`: brokers, or a refused output; partitions are taken again. `aborted` goes with rebalances.",
    (WHAT,),
)
PRODUCERS: Final = Metric(
    "orchestrator.producers",
    Kind.COUNTER,
    "{producer}",
    "Producers `replaced` (at the start, and after an unknown publication) and `fenced` (of owners that died).",
    "Many `replaced`: publications fail. `fenced`: workers die, see their logs and orchestrator.rebalances.",
    (WHAT,),
)
DATABASE_SECONDS: Final = Metric(
    "db.client.operation.duration",
    Kind.HISTOGRAM,
    _SECONDS,
    "Time of one call to PostgreSQL. `lock` waits for the batch's locks and looks for duplicates, `read` reads "
    "instances, `write` writes instances, journal and positions, `commit` waits for the disk.",
    "Slow `lock`: another worker or session holds them. Slow `commit`: disk or synchronous standby. Slow `read` or "
    "`write`: see PostgreSQL's own statistics.",
    (DATABASE, DATABASE_OPERATION, ERROR),
    _DURATIONS,
)
CONNECTIONS: Final = Metric(
    "db.client.connection.count",
    Kind.GAUGE,
    "{connection}",
    "Connections to PostgreSQL: in a transaction (`used`), or not (`idle`). A worker has one.",
    "None: the database can't be reached.",
    (POOL, POOL_STATE),
)
STAGE_TIME: Final = Metric(
    "orchestrator.stage.time",
    Kind.COUNTER,
    _SECONDS,
    "Time of the loop by stage. `poll` is waiting, for the most part; what the loop's thread waits for `kafka` is time "
    "that PostgreSQL's next batch did not hide.",
    "The stage that grows is where to look.",
    (STAGE,),
)
INSTANCES: Final = Metric(
    "orchestrator.instances",
    Kind.GAUGE,
    "{instance}",
    "Instances by status, counted in PostgreSQL every 15 s at most, by the worker that has partition 0.",
    "`active` growing for ever: workflows don't end, see orchestrator.state.instances.",
    (MACHINE, VERSION, STATUS),
)
STATE_INSTANCES: Final = Metric(
    "orchestrator.state.instances",
    Kind.GAUGE,
    "{instance}",
    "Active instances in each state, counted likewise. An instance counts in every state that is active.",
    "A state that fills up: the service that it waits for does not answer.",
    (MACHINE, VERSION, STATE),
)
STATE_WAIT: Final = Metric(
    "orchestrator.state.wait",
    Kind.GAUGE,
    _SECONDS,
    "How long the longest waiting instance of a state has not moved, counted likewise.",
    "Longer than the workflow allows: it is stuck. Look for what it asked, and send the answer again.",
    (MACHINE, VERSION, STATE),
)
STATE_ENTRIES: Final = Metric(
    "orchestrator.state.entries",
    Kind.COUNTER,
    "{entry}",
    "Transitions: how often instances came into a state in which they were not before the event.",
    "Entries without the next state's entries: see orchestrator.state.wait.",
    (MACHINE, VERSION, STATE),
)
SAMPLED: Final = Metric(
    "orchestrator.instances.sampled",
    Kind.GAUGE,
    "1",
    "Share of the table that was looked at for the counts: below 1 they are estimates, and the longest wait a lower "
    "bound.",
    "Nothing to do: counting stays cheap however large the table is.",
)
PROBE_FAILURES: Final = Metric(
    "orchestrator.probe.failures",
    Kind.COUNTER,
    "{failure}",
    "Looks at `lag` and `instances` that failed; those metrics are missing then.",
    "Rights (`SELECT` on instances, `DESCRIBE` on the input topic), or servers that are away.",
    (WHAT, ERROR),
)
UPKEEP_SECONDS: Final = Metric(
    "orchestrator.upkeep.duration",
    Kind.HISTOGRAM,
    _SECONDS,
    "Time of one run of the database's upkeep by this worker, or until it failed.",
    "Errors: the log's `upkeep_failed` has the cause, often a right. Always at some 20 s: more instances end than go.",
    (ERROR,),
    _DURATIONS,
)
UPKEEP_CHANGES: Final = Metric(
    "orchestrator.upkeep.changes",
    Kind.COUNTER,
    "{change}",
    "What this worker's upkeep changed: days of the journal and rows of its default partition, instances.",
    "No `journal_days_made` for two days: the journal's rows go to its default partition, see `worker doctor`.",
    (CHANGE,),
)
UPKEEP_AGE: Final = Metric(
    "orchestrator.upkeep.age",
    Kind.GAUGE,
    _SECONDS,
    "How long ago the upkeep ended that was done last, by whichever worker, as far as this one knows.",
    "Above some minutes: no worker can do it, see the log's `upkeep_failed`.",
)
READY: Final = Metric(
    "orchestrator.ready",
    Kind.GAUGE,
    "{part}",
    "1 for each part of `/readyz` that is fine, else 0.",
    "Read the body of `/readyz`.",
    (PART,),
)
SINCE_TURN: Final = Metric(
    "orchestrator.loop.idle",
    Kind.GAUGE,
    _SECONDS,
    "Time since the loop last turned; `/livez` fails where it is too long.",
    "Many seconds: a step of a machine, or a server that does not answer.",
)
CPU_TIME: Final = Metric(
    "process.cpu.time",
    Kind.COUNTER,
    _SECONDS,
    "CPU time of the process.",
    "A worker is one thread for the most part: at 1 s/s add workers.",
    (CPU_MODE,),
)
MEMORY: Final = Metric(
    "process.memory.usage",
    Kind.GAUGE,
    "By",
    "Resident memory of the process.",
    "Ever growing: a machine's functions keep something.",
)
FILES: Final = Metric(
    "process.open_file_descriptor.count",
    Kind.GAUGE,
    "{file_descriptor}",
    "Open files and connections.",
    "Ever growing: a machine's functions leave files open.",
)
THREADS: Final = Metric(
    "process.thread.count", Kind.GAUGE, "{thread}", "Threads, librdkafka's included.", "Ever growing: a fault."
)
UPTIME: Final = Metric(
    "process.uptime", Kind.GAUGE, _SECONDS, "Time since the worker began.", "Small again and again: it restarts."
)

METRICS: Final = (
    EVENTS,
    DEAD_LETTERS,
    IGNORED,
    EVENT_AGE,
    PARTITION_AGE,
    LAG,
    LAG_AGE,
    PARTITIONS,
    REBALANCES,
    RETRIES,
    PUBLICATIONS,
    PRODUCERS,
    BATCH_RECORDS,
    PROCESSED,
    STAGE_TIME,
    CONSUMED,
    SENT,
    MESSAGING_SECONDS,
    DATABASE_SECONDS,
    CONNECTIONS,
    INSTANCES,
    STATE_INSTANCES,
    STATE_WAIT,
    STATE_ENTRIES,
    SAMPLED,
    PROBE_FAILURES,
    UPKEEP_SECONDS,
    UPKEEP_CHANGES,
    UPKEEP_AGE,
    READY,
    SINCE_TURN,
    CPU_TIME,
    MEMORY,
    FILES,
    THREADS,
    UPTIME,
)
"""All of them, in the order of the reference page."""
