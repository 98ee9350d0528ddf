"""${message}.

Runs ${"${before or after}"} the workers of this version are rolled out.
"""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None
phase = ${"${before or after}"}


def upgrade() -> None:
    """Build it."""
    ${upgrades if upgrades else "op.execute()"}


def downgrade() -> None:
    """Take it back."""
    ${downgrades if downgrades else "op.execute()"}
