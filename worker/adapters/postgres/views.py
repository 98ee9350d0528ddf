"""The SQL that has no SQLAlchemy construct: functions and views for people who query the state.

The journal keeps bytes; the views show them as JSON where they are JSON and never fail where they are not.
"""

from typing import Final

FUNCTIONS: Final = {
    # Parallel unsafe, which is PostgreSQL's default: a block with an exception clause can't run in a parallel query.
    "try_json(bytea)": """
CREATE FUNCTION try_json(content bytea) RETURNS json
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN convert_from(content, 'UTF8')::json;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END
$$
""",
    # A producer chooses the timestamp of its records: what no timestamp can hold is shown as null.
    "epoch_ms(bigint)": """
CREATE FUNCTION epoch_ms(milliseconds bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE
        WHEN milliseconds BETWEEN -62135596800000 AND 253402300799999
        THEN to_timestamp(milliseconds / 1000.0)
    END
$$
""",
}

VIEWS: Final = {
    "journal_events": """
CREATE VIEW journal_events AS
SELECT day, partition, record_offset, epoch_ms(record_timestamp) AS record_time, epoch_ms(now_ms) AS step_time,
    recorded_at, subject_digest, event_source, event_id, event_type, outcome, reason, error_name, error_message,
    states_before, states_after, revision, definition_hash, record_key,
    try_json(event) AS event, try_json(event_headers) AS event_headers, try_json(outputs) AS outputs
FROM journal
""",
    "instance_overview": """
CREATE VIEW instance_overview AS
SELECT subject, source, version, status, states, snapshot -> 'context' AS context, output, parent_subject,
    init_event_id, revision, epoch_ms(now_ms) AS step_time, created_at, updated_at, ended_at
FROM instances
""",
    "dead_letters": """
CREATE VIEW dead_letters AS
SELECT day, partition, record_offset, epoch_ms(record_timestamp) AS record_time, recorded_at, reason,
    error_name, error_message, event_source, event_id, event_type, record_key,
    try_json(event) AS event, try_json(event_headers) AS event_headers
FROM journal
WHERE outcome = 'dead_lettered'
""",
    "consumed_events": """
CREATE VIEW consumed_events AS
SELECT subject_digest, event_source, event_id, event_type, try_json(emitted) AS emitted, consumed_at
FROM consumptions
""",
    "workflow_counts": """
CREATE VIEW workflow_counts AS
SELECT source, version, status, count(*) AS instances
FROM instances
GROUP BY source, version, status
""",
}
