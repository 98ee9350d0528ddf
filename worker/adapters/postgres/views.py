"""The SQL that has no SQLAlchemy construct: functions and views for people who query the state.

The journal keeps bytes, most of them in compressed blocks (blocks.py); the views show them as JSON where they are JSON
and never fail where they are not.
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
    # Source: https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md; the four bytes before it are its whole size.
    # What no match reaches any more, since it is 64 KiB away, is set aside: each step copies what is not.
    "lz4_decoded(bytea)": """
CREATE FUNCTION lz4_decoded(block bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    packed CONSTANT bytea := block || ''::bytea;
    ends CONSTANT integer := octet_length(block);
    place integer := 4;
    aside bytea := '';
    raw bytea := '';
    token integer;
    size integer;
    more integer;
    distance integer;
    match bytea;
BEGIN
    LOOP
        token := get_byte(packed, place);
        place := place + 1;
        size := token >> 4;
        IF size = 15 THEN
            LOOP
                more := get_byte(packed, place);
                place := place + 1;
                size := size + more;
                EXIT WHEN more < 255;
            END LOOP;
        END IF;
        raw := raw || substring(packed, place + 1, size);
        place := place + size;
        EXIT WHEN place >= ends;
        distance := get_byte(packed, place) + (get_byte(packed, place + 1) << 8);
        place := place + 2;
        size := (token & 15) + 4;
        IF size = 19 THEN
            LOOP
                more := get_byte(packed, place);
                place := place + 1;
                size := size + more;
                EXIT WHEN more < 255;
            END LOOP;
        END IF;
        match := substring(raw, octet_length(raw) - distance + 1, size);
        WHILE octet_length(match) < size LOOP
            match := match || match;
        END LOOP;
        raw := raw || substring(match, 1, size);
        IF octet_length(raw) > 131072 THEN
            aside := aside || substring(raw, 1, octet_length(raw) - 65536);
            raw := substring(raw, octet_length(raw) - 65535);
        END IF;
    END LOOP;
    RETURN aside || raw;
END
$$
""",
    "journal_sizes(bytea)": """
CREATE FUNCTION journal_sizes(frame bytea) RETURNS integer[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT array_agg(('x' || encode(substring(frame, 4 * part + 1, 4), 'hex'))::bit(32)::integer ORDER BY part)
    FROM generate_series(0, 3) AS part
$$
""",
    "journal_part(bytea,integer)": """
CREATE FUNCTION journal_part(frame bytea, number integer) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT substring(frame, 17 + coalesce(sum(greatest(size, 0)) FILTER (WHERE part < number), 0)::integer,
                     nullif(max(size) FILTER (WHERE part = number), -1))
    FROM unnest(journal_sizes(frame)) WITH ORDINALITY AS one (size, part)
$$
""",
    "journal_text(bytea)": """
CREATE FUNCTION journal_text(content bytea) RETURNS json
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN to_json(convert_from(content, 'UTF8'));
EXCEPTION WHEN OTHERS THEN
    RETURN json_build_object('base64', replace(encode(content, 'base64'), E'\\n', ''));
END
$$
""",
    "journal_outputs(bytea)": """
CREATE FUNCTION journal_outputs(frame bytea) RETURNS json
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT json_agg(json_build_object(
        'topic', output -> 0,
        'key', output -> 1,
        'value', journal_text(substring(frame, 17 + before + (total - coalesce(size, 0))::integer, size)),
        'headers', output -> 3
    ) ORDER BY number)
    FROM (
        SELECT output, number, (output ->> 2)::integer AS size,
            coalesce(sum((output ->> 2)::integer) OVER (ORDER BY number), 0) AS total
        FROM json_array_elements(convert_from(journal_part(frame, 4), 'UTF8')::json)
            WITH ORDINALITY AS one (output, number)
    ) AS outputs,
    (SELECT sum(greatest(size, 0))::integer AS before FROM unnest(journal_sizes(frame)) AS size) AS parts
$$
""",
}

# The frame is left out of the plan where nothing of it is asked for, and made once a row where something is.
_FRAME: Final = """journal AS row, LATERAL (
    SELECT (
        SELECT substring(lz4_decoded(held.block), row.frame_start + 1)
        FROM journal AS held
        WHERE held.partition = row.partition AND held.record_offset = row.block_offset
            AND held.incarnation = row.incarnation AND held.day = row.day
    ) AS frame
    OFFSET 0
) AS kept"""

VIEWS: Final = {
    "journal_events": f"""
CREATE VIEW journal_events AS
SELECT day, partition, record_offset, epoch_ms(record_timestamp) AS record_time, epoch_ms(now_ms) AS step_time,
    recorded_at, subject_digest, event_source, event_id, event_type, outcome, reason, error_name, error_message,
    states_before, states_after, revision, definition_hash, coalesce(record_key, journal_part(frame, 1)) AS record_key,
    try_json(coalesce(event, journal_part(frame, 2))) AS event,
    try_json(coalesce(event_headers, journal_part(frame, 3))) AS event_headers,
    coalesce(journal_outputs(frame), try_json(outputs)) AS outputs
FROM {_FRAME}
""",  # noqa: S608 - Put together of constants.
    "instance_overview": """
CREATE VIEW instance_overview AS
SELECT subject, source, version, status, states, snapshot -> 'context' AS context, output, parent_subject,
    init_event_id, revision, epoch_ms(now_ms) AS step_time, created_at, updated_at, ended_at
FROM instances
""",
    "dead_letters": f"""
CREATE VIEW dead_letters AS
SELECT day, partition, record_offset, epoch_ms(record_timestamp) AS record_time, recorded_at, reason,
    error_name, error_message, event_source, event_id, event_type,
    coalesce(record_key, journal_part(frame, 1)) AS record_key,
    try_json(coalesce(event, journal_part(frame, 2))) AS event,
    try_json(coalesce(event_headers, journal_part(frame, 3))) AS event_headers
FROM {_FRAME}
WHERE outcome = 'dead_lettered'
""",  # noqa: S608
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
