"""Build the first schema.

Runs before the workers of this version are rolled out.
"""

from typing import Final

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
phase = "before"

BINDING: Final = """
CREATE TABLE binding (
    id smallint DEFAULT 1 CONSTRAINT binding_pkey PRIMARY KEY,
    cluster_id text NOT NULL,
    group_id text NOT NULL,
    input_topic text NOT NULL,
    bound_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT binding_id_check CHECK (id = 1)
);
COMMENT ON TABLE binding IS 'The one consumer group, cluster and input topic that this database serves'
"""

POSITIONS: Final = """
CREATE TABLE positions (
    partition integer CONSTRAINT positions_pkey PRIMARY KEY,
    topic_id text NOT NULL,
    next_offset bigint NOT NULL,
    published_offset bigint NOT NULL,
    owner text,
    transactional_id text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT positions_offsets_check CHECK (published_offset >= 0 AND published_offset <= next_offset)
) WITH (fillfactor = 50);
COMMENT ON TABLE positions IS 'Per input partition: what is applied, what is known to be published, and whose it is'
"""

INSTANCES: Final = """
CREATE TABLE instances (
    subject_digest bytea CONSTRAINT instances_pkey PRIMARY KEY,
    subject text NOT NULL,
    parent_subject text,
    parent_digest bytea,
    source text NOT NULL,
    version text NOT NULL,
    status text NOT NULL,
    states text[] NOT NULL,
    snapshot jsonb NOT NULL,
    output jsonb,
    init_event_id text NOT NULL,
    revision bigint NOT NULL,
    now_ms bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CONSTRAINT instances_subject_digest_check CHECK (octet_length(subject_digest) = 32),
    CONSTRAINT instances_parent_digest_check CHECK (octet_length(parent_digest) = 32),
    CONSTRAINT instances_status_check CHECK (status IN ('active', 'done', 'cancelled')),
    CONSTRAINT instances_revision_check CHECK (revision > 0)
) WITH (fillfactor = 70);
CREATE INDEX instances_source_version_idx ON instances (source, version);
CREATE INDEX instances_parent_digest_idx ON instances (parent_digest) WHERE parent_digest IS NOT NULL;
COMMENT ON TABLE instances IS 'One row per workflow instance, as it is after its last step';
COMMENT ON COLUMN instances.now_ms IS 'Time of the last step, in milliseconds since the epoch'
"""

JOURNAL: Final = """
CREATE TABLE journal (
    day date NOT NULL DEFAULT current_date,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    record_timestamp bigint NOT NULL,
    subject_digest bytea,
    event_key bigint,
    event_source text,
    event_id text,
    event_type text,
    content_digest bytea,
    consumed boolean NOT NULL,
    outcome text NOT NULL,
    reason text,
    error_name text,
    error_message text,
    states_before text[],
    states_after text[],
    revision bigint,
    definition_hash bytea,
    now_ms bigint,
    record_key bytea,
    event bytea,
    event_headers bytea,
    outputs bytea,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT journal_pkey PRIMARY KEY (partition, record_offset, day)
) PARTITION BY RANGE (day);
CREATE INDEX journal_event_key_idx ON journal (event_key) WHERE consumed;
COMMENT ON TABLE journal IS 'One row per consumed record: what came in, what it came to, what goes out';
COMMENT ON COLUMN journal.record_timestamp IS 'In milliseconds since the epoch, as Kafka has it';
COMMENT ON COLUMN journal.event_key IS 'First eight bytes of the SHA-256 of subject, source and id';
COMMENT ON COLUMN journal.content_digest IS 'Sixteen bytes; differs if type, dataschema or data differ';
COMMENT ON COLUMN journal.consumed IS 'Whether a later event of the same key is a duplicate';
COMMENT ON COLUMN journal.now_ms IS 'Time of the step, in milliseconds since the epoch';
COMMENT ON COLUMN journal.event IS 'The value of the record as it came';
COMMENT ON COLUMN journal.event_headers IS 'JSON: a list of [name, {text or base64} or null]';
COMMENT ON COLUMN journal.outputs IS 'JSON: a list of {topic, key, value, headers}'
"""

DEFINITIONS: Final = """
CREATE TABLE definitions (
    definition_hash bytea CONSTRAINT definitions_pkey PRIMARY KEY,
    source text NOT NULL,
    version text NOT NULL,
    document text NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now(),
    registered_by text NOT NULL
);
COMMENT ON TABLE definitions IS 'Each machine definition that a worker ran, once per hash'
"""

# A server that was built without lz4 keeps its default compression.
COMPRESSION: Final = """
DO $$
BEGIN
    ALTER TABLE instances
        ALTER COLUMN snapshot SET COMPRESSION lz4,
        ALTER COLUMN output SET COMPRESSION lz4;
    ALTER TABLE journal
        ALTER COLUMN record_key SET COMPRESSION lz4,
        ALTER COLUMN event SET COMPRESSION lz4,
        ALTER COLUMN event_headers SET COMPRESSION lz4,
        ALTER COLUMN outputs SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END
$$
"""

# A partition takes the compression of its parent as it is when the partition is made.
DEFAULT_PARTITION: Final = "CREATE TABLE journal_default PARTITION OF journal DEFAULT"

# Parallel unsafe, which is PostgreSQL's default: a block with an exception clause can't run in a parallel query.
TRY_JSON: Final = """
CREATE FUNCTION try_json(content bytea) RETURNS json
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN convert_from(content, 'UTF8')::json;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END
$$
"""

# A producer chooses the timestamp of its records: what no timestamp can hold is shown as null.
EPOCH_MS: Final = """
CREATE FUNCTION epoch_ms(milliseconds bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE
        WHEN milliseconds BETWEEN -62135596800000 AND 253402300799999
        THEN to_timestamp(milliseconds / 1000.0)
    END
$$
"""

VIEWS: Final = """
CREATE VIEW journal_events AS
SELECT day, partition, record_offset, epoch_ms(record_timestamp) AS record_time, epoch_ms(now_ms) AS step_time,
    recorded_at, subject_digest, event_source, event_id, event_type, outcome, reason, error_name, error_message,
    states_before, states_after, revision, definition_hash, record_key,
    try_json(event) AS event, try_json(event_headers) AS event_headers, try_json(outputs) AS outputs
FROM journal;

CREATE VIEW instance_overview AS
SELECT subject, source, version, status, states, snapshot -> 'context' AS context, output, parent_subject,
    init_event_id, revision, epoch_ms(now_ms) AS step_time, created_at, updated_at, ended_at
FROM instances;

CREATE VIEW dead_letters AS
SELECT day, partition, record_offset, epoch_ms(record_timestamp) AS record_time, recorded_at, reason,
    error_name, error_message, event_source, event_id, event_type, record_key,
    try_json(event) AS event, try_json(event_headers) AS event_headers
FROM journal
WHERE outcome = 'dead_lettered';

CREATE VIEW workflow_counts AS
SELECT source, version, status, count(*) AS instances
FROM instances
GROUP BY source, version, status
"""

PARTS: Final = (
    BINDING,
    POSITIONS,
    INSTANCES,
    JOURNAL,
    DEFINITIONS,
    COMPRESSION,
    DEFAULT_PARTITION,
    TRY_JSON,
    EPOCH_MS,
    VIEWS,
)


def upgrade() -> None:
    """Build tables, functions and views."""
    connection = op.get_bind()
    for part in PARTS:
        connection.exec_driver_sql(part)


def downgrade() -> None:
    """Drop everything, with what it holds; dropping the journal drops its days."""
    connection = op.get_bind()
    connection.exec_driver_sql("DROP VIEW journal_events, instance_overview, dead_letters, workflow_counts")
    connection.exec_driver_sql("DROP FUNCTION try_json(bytea), epoch_ms(bigint)")
    connection.exec_driver_sql("DROP TABLE binding, positions, instances, journal, definitions")
