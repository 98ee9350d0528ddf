"""Count what killed its owners, tell incarnations of a partition apart, and keep who brought a definition last.

Runs before the workers of this version are rolled out: it only adds. The journal's primary key is built anew, though,
and batches wait meanwhile: some seconds for each million rows.
"""

from typing import Final

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
phase = "before"

POSITIONS: Final = """
ALTER TABLE positions
    ADD COLUMN deaths integer NOT NULL DEFAULT 0,
    ADD COLUMN attempts integer NOT NULL DEFAULT 0,
    ADD COLUMN claims bigint NOT NULL DEFAULT 0,
    ADD COLUMN incarnation integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN positions.deaths IS 'Owners that ended without a release since next_offset moved';
COMMENT ON COLUMN positions.attempts IS 'How often the record at next_offset was run on its own';
COMMENT ON COLUMN positions.claims IS 'How often the partition was taken';
COMMENT ON COLUMN positions.incarnation IS 'How often reading was begun elsewhere; rows of the journal carry it'
"""

JOURNAL: Final = """
ALTER TABLE journal ADD COLUMN incarnation integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN journal.incarnation IS 'That of the position row';
ALTER TABLE journal
    DROP CONSTRAINT journal_pkey,
    ADD CONSTRAINT journal_pkey PRIMARY KEY (partition, record_offset, incarnation, day)
"""

DEFINITIONS: Final = """
ALTER TABLE definitions ADD COLUMN last_registered_at timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN definitions.last_registered_at IS 'Last start of a worker with it';
UPDATE definitions SET last_registered_at = registered_at
"""

UPGRADE: Final = (POSITIONS, JOURNAL, DEFINITIONS)

# Rows of incarnations that ended would stand for other records than those of their offsets.
DOWNGRADE: Final = """
DELETE FROM journal USING positions
WHERE journal.partition = positions.partition AND journal.incarnation <> positions.incarnation;
ALTER TABLE journal
    DROP CONSTRAINT journal_pkey,
    ADD CONSTRAINT journal_pkey PRIMARY KEY (partition, record_offset, day);
ALTER TABLE journal DROP COLUMN incarnation;
ALTER TABLE positions DROP COLUMN deaths, DROP COLUMN attempts, DROP COLUMN claims, DROP COLUMN incarnation;
ALTER TABLE definitions DROP COLUMN last_registered_at
"""


def upgrade() -> None:
    """Add the columns, and put the incarnation into the journal's key."""
    connection = op.get_bind()
    for part in UPGRADE:
        connection.exec_driver_sql(part)


def downgrade() -> None:
    """Drop the columns, and what was journalled of incarnations that ended."""
    op.get_bind().exec_driver_sql(DOWNGRADE)
