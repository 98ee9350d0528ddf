"""The one description of the schema. The migrations build the same; a test compares the two.

No schema is named: tables are found by the `search_path` of the connection.
"""

from typing import Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import (
    ARRAY,
    BIGINT,
    BOOLEAN,
    BYTEA,
    DATE,
    INTEGER,
    JSONB,
    SMALLINT,
    TEXT,
    TIMESTAMP,
)

from worker.adapters.postgres.operator_views import OPERATOR_VIEWS
from worker.adapters.postgres.views import FUNCTIONS, VIEWS

metadata: Final = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)

_TIME = TIMESTAMP(timezone=True)
_NOW = text("now()")
_ZERO = text("0")


def _digest_check(column: str) -> CheckConstraint:
    return CheckConstraint(f"octet_length({column}) = 32", name=column)


binding: Final = Table(
    "binding",
    metadata,
    Column("id", SMALLINT, primary_key=True, autoincrement=False, server_default=text("1")),
    Column("cluster_id", TEXT, nullable=False),
    Column("group_id", TEXT, nullable=False),
    Column("input_topic", TEXT, nullable=False),
    Column("bound_at", _TIME, nullable=False, server_default=_NOW),
    CheckConstraint("id = 1", name="id"),
    comment="The one consumer group, cluster and input topic that this database serves",
)

positions: Final = Table(
    "positions",
    metadata,
    Column("partition", INTEGER, primary_key=True, autoincrement=False),
    Column("topic_id", TEXT, nullable=False),
    Column("next_offset", BIGINT, nullable=False),
    Column("published_offset", BIGINT, nullable=False),
    Column("owner", TEXT),
    Column("transactional_id", TEXT),
    Column("updated_at", _TIME, nullable=False, server_default=_NOW),
    Column(
        "deaths",
        INTEGER,
        nullable=False,
        server_default=_ZERO,
        comment="Owners that ended without a release since next_offset moved",
    ),
    Column(
        "attempts",
        INTEGER,
        nullable=False,
        server_default=_ZERO,
        comment="How often the record at next_offset was run on its own",
    ),
    Column("claims", BIGINT, nullable=False, server_default=_ZERO, comment="How often the partition was taken"),
    Column(
        "incarnation",
        INTEGER,
        nullable=False,
        server_default=_ZERO,
        comment="How often reading was begun elsewhere; rows of the journal carry it",
    ),
    CheckConstraint("published_offset >= 0 and published_offset <= next_offset", name="offsets"),
    # Every batch updates these rows: room on the page and no index beside the key keep the updates HOT.
    postgresql_with={"fillfactor": 50},
    comment="Per input partition: what is applied, what is known to be published, and whose it is",
)

instances: Final = Table(
    "instances",
    metadata,
    Column("subject_digest", BYTEA, primary_key=True),
    Column("subject", TEXT, nullable=False),
    Column("parent_subject", TEXT),
    Column("parent_digest", BYTEA),
    Column("source", TEXT, nullable=False),
    Column("version", TEXT, nullable=False),
    Column("status", TEXT, nullable=False),
    Column("states", ARRAY(TEXT), nullable=False),
    Column("snapshot", JSONB, nullable=False),
    Column("output", JSONB),
    Column("init_event_id", TEXT, nullable=False),
    Column("revision", BIGINT, nullable=False),
    Column("now_ms", BIGINT, nullable=False, comment="Time of the last step, in milliseconds since the epoch"),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
    Column("updated_at", _TIME, nullable=False, server_default=_NOW),
    Column("ended_at", _TIME),
    _digest_check("subject_digest"),
    _digest_check("parent_digest"),
    CheckConstraint("status in ('active', 'done', 'cancelled')", name="status"),
    CheckConstraint("revision > 0", name="revision"),
    # A step changes no indexed column and finds room on its page, so it is a HOT update: neighbours began together, and
    # often step in one batch. What removes ended ones leaves room that steps are to find soon.
    postgresql_with={"fillfactor": 50, "autovacuum_vacuum_scale_factor": 0.05},
    comment="One row per workflow instance, as it is after its last step",
)

Index(None, instances.c.source, instances.c.version)
Index(None, instances.c.parent_digest, postgresql_where=instances.c.parent_digest.is_not(None))

instances_archive: Final = Table(
    "instances_archive",
    metadata,
    # As they were when they ended, which all have.
    *(Column(one.name, one.type, nullable=one.nullable and one.name != "ended_at") for one in instances.columns),
    Column("archived_at", _TIME, nullable=False, server_default=_NOW),
    # Whoever removed a row by hand may have started the subject again.
    PrimaryKeyConstraint("subject_digest", "archived_at"),
    comment="Instances that ended and were moved here by age; nothing removes them",
)

schema_support: Final = Table(
    "schema_support",
    metadata,
    Column("head", TEXT, primary_key=True),
    comment="The newest revision that each kind of worker knows which runs on this schema",
)

upkeep: Final = Table(
    "upkeep",
    metadata,
    Column("id", SMALLINT, primary_key=True, autoincrement=False, server_default=text("1")),
    Column("begun_at", _TIME),
    Column("ended_at", _TIME),
    Column("worker", TEXT),
    Column("changes", JSONB, comment="What the last run that ended changed"),
    Column("days_at", _TIME, comment="When the journal's days were looked after last"),
    Column("swept_at", _TIME, comment="When all pages of instances had been looked at last"),
    Column(
        "next_page",
        BIGINT,
        nullable=False,
        server_default=_ZERO,
        comment="The page of instances that is looked at next",
    ),
    CheckConstraint("id = 1", name="id"),
    comment="What the upkeep did last, by which worker, and where it goes on",
)

journal: Final = Table(
    "journal",
    metadata,
    Column("day", DATE, nullable=False, server_default=text("CURRENT_DATE")),
    Column("partition", INTEGER, nullable=False),
    Column("record_offset", BIGINT, nullable=False),
    Column("record_timestamp", BIGINT, nullable=False, comment="In milliseconds since the epoch, as Kafka has it"),
    Column("subject_digest", BYTEA),
    Column("event_key", BIGINT, comment="First eight bytes of the SHA-256 of subject, source and id"),
    Column("event_source", TEXT),
    Column("event_id", TEXT),
    Column("event_type", TEXT),
    Column("content_digest", BYTEA, comment="Sixteen bytes; differs if type, dataschema or data differ"),
    Column("consumed", BOOLEAN, nullable=False, comment="Whether a later event of the same key is a duplicate"),
    Column("outcome", TEXT, nullable=False),
    Column("reason", TEXT),
    Column("error_name", TEXT),
    Column("error_message", TEXT),
    Column("states_before", ARRAY(TEXT)),
    Column("states_after", ARRAY(TEXT)),
    Column("revision", BIGINT),
    Column("definition_hash", BYTEA),
    Column("now_ms", BIGINT, comment="Time of the step, in milliseconds since the epoch"),
    Column("record_key", BYTEA, comment="Null where a block has it"),
    Column("event", BYTEA, comment="The value of the record as it came; null where a block has it"),
    Column(
        "event_headers",
        BYTEA,
        comment="JSON: a list of [name, {text or base64} or null]; null where a block has it",
    ),
    Column("outputs", BYTEA, comment="JSON: a list of {topic, key, value, headers}; empty where a block has it"),
    Column("recorded_at", _TIME, nullable=False, server_default=_NOW),
    Column("incarnation", INTEGER, nullable=False, server_default=_ZERO, comment="That of the position row"),
    Column("block_offset", BIGINT, comment="The row that has the block with this one's key, event, headers, outputs"),
    Column("frame_start", INTEGER, comment="Where in the block, decompressed, they begin"),
    Column("block", BYTEA, comment="LZ4, behind four bytes of its whole size: the bytes of this row and some before"),
    PrimaryKeyConstraint("partition", "record_offset", "incarnation", "day"),
    postgresql_partition_by="RANGE (day)",
    comment="One row per consumed record: what came in, what it came to, what goes out",
)

Index(None, journal.c.event_key, postgresql_where=journal.c.consumed)

definitions: Final = Table(
    "definitions",
    metadata,
    Column("definition_hash", BYTEA, primary_key=True),
    Column("source", TEXT, nullable=False),
    Column("version", TEXT, nullable=False),
    Column("document", TEXT, nullable=False),
    Column("registered_at", _TIME, nullable=False, server_default=_NOW),
    Column("registered_by", TEXT, nullable=False),
    Column("last_registered_at", _TIME, nullable=False, server_default=_NOW, comment="Last start of a worker with it"),
    comment="Each machine definition that a worker ran, once per hash",
)

consumptions: Final = Table(
    "consumptions",
    metadata,
    Column("event_digest", BYTEA, primary_key=True, comment="SHA-256 of subject, source and id"),
    Column("subject_digest", BYTEA, nullable=False),
    Column("event_source", TEXT, nullable=False),
    Column("event_id", TEXT, nullable=False),
    Column("event_type", TEXT, nullable=False),
    Column(
        "content_digest", BYTEA, nullable=False, comment="Sixteen bytes; differs if type, dataschema or data differ"
    ),
    Column("emitted", BYTEA, comment="JSON: a list of {domains, event}"),
    Column("consumed_at", _TIME, nullable=False, server_default=_NOW),
    _digest_check("event_digest"),
    _digest_check("subject_digest"),
    comment="One row per event that an orchestrator of the library consumed, until it is forgotten",
)

Index(None, consumptions.c.consumed_at)

OF_A_DAY: Final = "toast_tuple_target = 8160"
"""The storage parameter of the journal's partitions: a block stays in its row if the page has room for it."""

BY_SUBJECT: Final = (
    "USING brin (subject_digest bytea_bloom_ops (n_distinct_per_range = 400)) WITH (pages_per_range = 32)"
)
"""The index of the journal's partitions for those who look for a subject.

It says where a subject isn't, in a thousandth of the table's size, and costs an insert nothing that could be measured;
a B-tree costs nearly half as much as the row. The planner thinks little of it: look with `enable_seqscan` off.
"""

COMPRESSED: Final = {
    "consumptions": ("emitted",),
    "instances": ("snapshot", "output"),
    "instances_archive": ("snapshot", "output"),
    "journal": ("record_key", "event", "event_headers", "outputs"),
}
"""Large columns by table. They are compressed by lz4 where the server was built with it, else by its default."""


def _compress(table: str) -> str:
    actions = ", ".join(f"ALTER COLUMN {column} SET COMPRESSION lz4" for column in COMPRESSED[table])
    return f"""
DO $$
BEGIN
    ALTER TABLE {table} {actions};
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END
$$
"""


# Partitions take the compression of their parent as it is when they are made, so the default partition comes last.
_EXTRAS: Final = (
    *(_compress(table) for table in COMPRESSED),
    "ALTER TABLE journal ALTER COLUMN block SET STORAGE external",
    f"CREATE TABLE journal_default PARTITION OF journal DEFAULT WITH ({OF_A_DAY})",
    f"CREATE INDEX journal_default_subject_digest_idx ON journal_default {BY_SUBJECT}",
    *FUNCTIONS.values(),
    *VIEWS.values(),
    *OPERATOR_VIEWS.values(),
)


@event.listens_for(metadata, "after_create")
def _create_extras(_: MetaData, connection: Connection, **__: object) -> None:
    for statement in _EXTRAS:
        connection.exec_driver_sql(statement)


@event.listens_for(metadata, "before_drop")
def _drop_extras(_: MetaData, connection: Connection, **__: object) -> None:
    for view in (*reversed(OPERATOR_VIEWS), *VIEWS):
        connection.exec_driver_sql(f"DROP VIEW if exists {view}")
    for function in FUNCTIONS:
        connection.exec_driver_sql(f"DROP FUNCTION if exists {function}")
