"""The views for people who ask about instances by SQL: stable names for what the tables keep."""

from typing import Final

OPERATOR_VIEWS: Final = {
    # Active states stand by depth, then name: the last is one of the innermost.
    "v_instances": """
CREATE VIEW v_instances AS
SELECT left(encode(subject_digest, 'hex'), 12) AS id, source AS machine, version, status,
    states[cardinality(states)] AS state, states, revision AS steps, created_at AS started_at,
    updated_at AS last_step_at, ended_at, coalesce(ended_at, now()) - created_at AS age,
    CASE WHEN status = 'active' THEN now() - updated_at END AS idle, snapshot -> 'context' AS context, output,
    subject, parent_subject, init_event_id, subject_digest
FROM instances
""",
    "v_history": """
CREATE VIEW v_history AS
SELECT left(encode(journal_events.subject_digest, 'hex'), 12) AS id, source AS machine, version, record_time,
    recorded_at, partition, record_offset, event_type, event_source, event_id, outcome, reason, error_name,
    error_message, states_before, states_after, journal_events.revision AS step, event, outputs, subject, day,
    journal_events.subject_digest
FROM journal_events LEFT JOIN instances ON instances.subject_digest = journal_events.subject_digest
""",
    "v_state_counts": """
CREATE VIEW v_state_counts AS
SELECT source AS machine, version, state, count(*) AS instances, now() - min(updated_at) AS longest_idle
FROM instances, unnest(states) AS state
WHERE status = 'active'
GROUP BY source, version, state
""",
    "v_stuck": """
CREATE VIEW v_stuck AS
SELECT id, machine, version, state, idle, age, steps, last_step_at, context, subject
FROM v_instances
WHERE status = 'active' AND idle > interval '1 hour'
""",
}
"""In the order in which they are made; they are dropped in the opposite order."""
