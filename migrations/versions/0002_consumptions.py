"""Keep what the library's orchestrators consumed, and what it came to.

Runs before the workers of this version are rolled out: it only adds.
"""

from typing import Final

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
phase = "before"

CONSUMPTIONS: Final = """
CREATE TABLE consumptions (
    event_digest bytea CONSTRAINT consumptions_pkey PRIMARY KEY,
    subject_digest bytea NOT NULL,
    event_source text NOT NULL,
    event_id text NOT NULL,
    event_type text NOT NULL,
    content_digest bytea NOT NULL,
    emitted bytea,
    consumed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT consumptions_event_digest_check CHECK (octet_length(event_digest) = 32),
    CONSTRAINT consumptions_subject_digest_check CHECK (octet_length(subject_digest) = 32)
);
CREATE INDEX consumptions_consumed_at_idx ON consumptions (consumed_at);
COMMENT ON TABLE consumptions
    IS 'One row per event that an orchestrator of the library consumed, until it is forgotten';
COMMENT ON COLUMN consumptions.event_digest IS 'SHA-256 of subject, source and id';
COMMENT ON COLUMN consumptions.content_digest IS 'Sixteen bytes; differs if type, dataschema or data differ';
COMMENT ON COLUMN consumptions.emitted IS 'JSON: a list of {domains, event}'
"""

# A server that was built without lz4 keeps its default compression.
COMPRESSION: Final = """
DO $$
BEGIN
    ALTER TABLE consumptions ALTER COLUMN emitted SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END
$$
"""

CONSUMED_EVENTS: Final = """
CREATE VIEW consumed_events AS
SELECT subject_digest, event_source, event_id, event_type, try_json(emitted) AS emitted, consumed_at
FROM consumptions
"""

PARTS: Final = (CONSUMPTIONS, COMPRESSION, CONSUMED_EVENTS)


def upgrade() -> None:
    """Build the table and its view."""
    connection = op.get_bind()
    for part in PARTS:
        connection.exec_driver_sql(part)


def downgrade() -> None:
    """Drop both: what was consumed is forgotten."""
    connection = op.get_bind()
    connection.exec_driver_sql("DROP VIEW consumed_events")
    connection.exec_driver_sql("DROP TABLE consumptions")
