"""Let ended instances be archived, note what the upkeep does, and index the journal by subject for those who look.

Runs before the workers of this version are rolled out: it only adds, and takes no lock for longer than a moment. Days
of the journal that are there get no index; those that are made from now on do.
"""

from typing import Final

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
phase = "before"

ARCHIVE: Final = """
CREATE TABLE instances_archive (
    subject_digest bytea NOT NULL,
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
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    archived_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT instances_archive_pkey PRIMARY KEY (subject_digest, archived_at)
);
COMMENT ON TABLE instances_archive IS 'Instances that ended and were moved here by age; nothing removes them'
"""

# A server that was built without lz4 keeps its default compression.
COMPRESSION: Final = """
DO $$
BEGIN
    ALTER TABLE instances_archive
        ALTER COLUMN snapshot SET COMPRESSION lz4,
        ALTER COLUMN output SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END
$$
"""

UPKEEP: Final = """
CREATE TABLE upkeep (
    id smallint DEFAULT 1 CONSTRAINT upkeep_pkey PRIMARY KEY,
    begun_at timestamptz,
    ended_at timestamptz,
    worker text,
    changes jsonb,
    days_at timestamptz,
    swept_at timestamptz,
    next_page bigint NOT NULL DEFAULT 0,
    CONSTRAINT upkeep_id_check CHECK (id = 1)
);
COMMENT ON TABLE upkeep IS 'What the upkeep did last, by which worker, and where it goes on';
COMMENT ON COLUMN upkeep.changes IS 'What the last run that ended changed';
COMMENT ON COLUMN upkeep.days_at IS 'When the journal''s days were looked after last';
COMMENT ON COLUMN upkeep.swept_at IS 'When all pages of instances had been looked at last';
COMMENT ON COLUMN upkeep.next_page IS 'The page of instances that is looked at next'
"""

# What removes instances leaves room behind that steps are to find soon.
INSTANCES: Final = "ALTER TABLE instances SET (autovacuum_vacuum_scale_factor = 0.05)"

DEFAULT_PARTITION: Final = """
CREATE INDEX journal_default_subject_digest_idx ON journal_default
    USING brin (subject_digest bytea_bloom_ops (n_distinct_per_range = 400)) WITH (pages_per_range = 32)
"""

PARTS: Final = (ARCHIVE, COMPRESSION, UPKEEP, INSTANCES, DEFAULT_PARTITION)

# An index's name is that of its day.
NO_INDEXES: Final = """
DO $$
DECLARE
    index regclass;
BEGIN
    FOR index IN
        SELECT indexrelid FROM pg_index JOIN pg_inherits ON inhrelid = indrelid
            JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_am ON pg_am.oid = relam
        WHERE inhparent = 'journal'::regclass AND amname = 'brin'
    LOOP
        EXECUTE 'DROP INDEX ' || index;
    END LOOP;
END
$$
"""

DOWNGRADE: Final = (
    NO_INDEXES,
    "ALTER TABLE instances RESET (autovacuum_vacuum_scale_factor)",
    "DROP TABLE upkeep",
    "DROP TABLE instances_archive",
)


def upgrade() -> None:
    """Build the tables, and what the days that are made from now on have too."""
    connection = op.get_bind()
    for part in PARTS:
        connection.exec_driver_sql(part)


def downgrade() -> None:
    """Drop them: archived instances are gone."""
    connection = op.get_bind()
    for part in DOWNGRADE:
        connection.exec_driver_sql(part)
