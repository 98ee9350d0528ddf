"""Keep which workers run on this schema, so that one that is older than the schema knows whether it may.

Runs before the workers of this version are rolled out: it only adds.
"""

from typing import Final

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
phase = "before"

SUPPORT: Final = """
CREATE TABLE schema_support (head text CONSTRAINT schema_support_pkey PRIMARY KEY);
COMMENT ON TABLE schema_support IS 'The newest revision that each kind of worker knows which runs on this schema'
"""


def upgrade() -> None:
    """Build the table; whoever migrates fills it."""
    op.get_bind().exec_driver_sql(SUPPORT)


def downgrade() -> None:
    """Drop it."""
    op.drop_table("schema_support")
