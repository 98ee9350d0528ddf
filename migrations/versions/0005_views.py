"""Show instances to people under names of their own: `v_instances`, `v_history`, `v_state_counts`, `v_stuck`.

Runs before the workers of this version are rolled out: it only adds, and no worker reads them.
"""

from typing import Final

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
phase = "before"

INSTANCES: Final = """
CREATE VIEW v_instances AS
SELECT left(encode(subject_digest, 'hex'), 12) AS id, source AS machine, version, status,
    states[cardinality(states)] AS state, states, revision AS steps, created_at AS started_at,
    updated_at AS last_step_at, ended_at, coalesce(ended_at, now()) - created_at AS age,
    CASE WHEN status = 'active' THEN now() - updated_at END AS idle, snapshot -> 'context' AS context, output,
    subject, parent_subject, init_event_id, subject_digest
FROM instances
"""

HISTORY: Final = """
CREATE VIEW v_history AS
SELECT left(encode(journal_events.subject_digest, 'hex'), 12) AS id, source AS machine, version, record_time,
    recorded_at, partition, record_offset, event_type, event_source, event_id, outcome, reason, error_name,
    error_message, states_before, states_after, journal_events.revision AS step, event, outputs, subject, day,
    journal_events.subject_digest
FROM journal_events LEFT JOIN instances ON instances.subject_digest = journal_events.subject_digest
"""

STATE_COUNTS: Final = """
CREATE VIEW v_state_counts AS
SELECT source AS machine, version, state, count(*) AS instances, now() - min(updated_at) AS longest_idle
FROM instances, unnest(states) AS state
WHERE status = 'active'
GROUP BY source, version, state
"""

STUCK: Final = """
CREATE VIEW v_stuck AS
SELECT id, machine, version, state, idle, age, steps, last_step_at, context, subject
FROM v_instances
WHERE status = 'active' AND idle > interval '1 hour'
"""

VIEWS: Final = (INSTANCES, HISTORY, STATE_COUNTS, STUCK)


def upgrade() -> None:
    """Make the views."""
    for view in VIEWS:
        op.execute(view)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP VIEW v_stuck, v_state_counts, v_history, v_instances")
