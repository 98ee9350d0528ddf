"""Keep the journal's bytes in compressed blocks of several rows.

Runs before the workers of this version are rolled out: it only adds, and takes no lock for longer than a moment. Rows
that are there stay as they are. A worker of the version before goes on; if it takes a partition of which one of this
version left outputs unpublished, it ends with an error, until one of this version takes it.
"""

from typing import Final

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
phase = "before"

JOURNAL: Final = """
ALTER TABLE journal
    ADD COLUMN block_offset bigint,
    ADD COLUMN frame_start integer,
    ADD COLUMN block bytea;
ALTER TABLE journal ALTER COLUMN block SET STORAGE external;
COMMENT ON COLUMN journal.record_key IS 'Null where a block has it';
COMMENT ON COLUMN journal.event IS 'The value of the record as it came; null where a block has it';
COMMENT ON COLUMN journal.event_headers
    IS 'JSON: a list of [name, {text or base64} or null]; null where a block has it';
COMMENT ON COLUMN journal.outputs
    IS 'JSON: a list of {topic, key, value, headers}; empty where a block has it';
COMMENT ON COLUMN journal.block_offset
    IS 'The row that has the block with this one''s key, event, headers, outputs';
COMMENT ON COLUMN journal.frame_start IS 'Where in the block, decompressed, they begin';
COMMENT ON COLUMN journal.block
    IS 'LZ4, behind four bytes of its whole size: the bytes of this row and some before'
"""

# Neighbours on a page began together, and often step in one batch: all of them are to find room.
INSTANCES: Final = "ALTER TABLE instances SET (fillfactor = 50)"

# A block stays in its row if the page has room for it. Only partitions have this parameter.
PARTITIONS: Final = """
DO $$
DECLARE
    partition regclass;
BEGIN
    FOR partition IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'journal'::regclass LOOP
        EXECUTE 'ALTER TABLE ' || partition || ' SET (toast_tuple_target = 8160)';
    END LOOP;
END
$$
"""

LZ4_DECODED: Final = """
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
"""

JOURNAL_SIZES: Final = """
CREATE FUNCTION journal_sizes(frame bytea) RETURNS integer[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT array_agg(('x' || encode(substring(frame, 4 * part + 1, 4), 'hex'))::bit(32)::integer ORDER BY part)
    FROM generate_series(0, 3) AS part
$$
"""

JOURNAL_PART: Final = """
CREATE FUNCTION journal_part(frame bytea, number integer) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT substring(frame, 17 + coalesce(sum(greatest(size, 0)) FILTER (WHERE part < number), 0)::integer,
                     nullif(max(size) FILTER (WHERE part = number), -1))
    FROM unnest(journal_sizes(frame)) WITH ORDINALITY AS one (size, part)
$$
"""

JOURNAL_TEXT: Final = """
CREATE FUNCTION journal_text(content bytea) RETURNS json
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN to_json(convert_from(content, 'UTF8'));
EXCEPTION WHEN OTHERS THEN
    RETURN json_build_object('base64', replace(encode(content, 'base64'), E'\\n', ''));
END
$$
"""

JOURNAL_OUTPUTS: Final = """
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
"""

VIEWS: Final = """
CREATE OR REPLACE VIEW journal_events AS
SELECT day, partition, record_offset, epoch_ms(record_timestamp) AS record_time, epoch_ms(now_ms) AS step_time,
    recorded_at, subject_digest, event_source, event_id, event_type, outcome, reason, error_name, error_message,
    states_before, states_after, revision, definition_hash, coalesce(record_key, journal_part(frame, 1)) AS record_key,
    try_json(coalesce(event, journal_part(frame, 2))) AS event,
    try_json(coalesce(event_headers, journal_part(frame, 3))) AS event_headers,
    coalesce(journal_outputs(frame), try_json(outputs)) AS outputs
FROM journal AS row, LATERAL (
    SELECT (
        SELECT substring(lz4_decoded(held.block), row.frame_start + 1)
        FROM journal AS held
        WHERE held.partition = row.partition AND held.record_offset = row.block_offset
            AND held.incarnation = row.incarnation AND held.day = row.day
    ) AS frame
    OFFSET 0
) AS kept;

CREATE OR REPLACE VIEW dead_letters AS
SELECT day, partition, record_offset, epoch_ms(record_timestamp) AS record_time, recorded_at, reason,
    error_name, error_message, event_source, event_id, event_type,
    coalesce(record_key, journal_part(frame, 1)) AS record_key,
    try_json(coalesce(event, journal_part(frame, 2))) AS event,
    try_json(coalesce(event_headers, journal_part(frame, 3))) AS event_headers
FROM journal AS row, LATERAL (
    SELECT (
        SELECT substring(lz4_decoded(held.block), row.frame_start + 1)
        FROM journal AS held
        WHERE held.partition = row.partition AND held.record_offset = row.block_offset
            AND held.incarnation = row.incarnation AND held.day = row.day
    ) AS frame
    OFFSET 0
) AS kept
WHERE outcome = 'dead_lettered'
"""

UPGRADE: Final = (
    INSTANCES,
    JOURNAL,
    PARTITIONS,
    LZ4_DECODED,
    JOURNAL_SIZES,
    JOURNAL_PART,
    JOURNAL_TEXT,
    JOURNAL_OUTPUTS,
    VIEWS,
)

# A row whose block is gone has nothing left; if it had outputs it stays marked, so that publishing it fails.
RESTORED: Final = """
UPDATE journal
SET record_key = journal_part(frame, 1), event = journal_part(frame, 2), event_headers = journal_part(frame, 3),
    outputs = convert_to(journal_outputs(frame)::text, 'UTF8')
FROM (
    SELECT row.partition, row.record_offset, row.incarnation, row.day,
        substring(lz4_decoded(held.block), row.frame_start + 1) AS frame
    FROM journal AS row JOIN journal AS held
        ON held.partition = row.partition AND held.record_offset = row.block_offset
            AND held.incarnation = row.incarnation AND held.day = row.day
) AS kept
WHERE journal.partition = kept.partition AND journal.record_offset = kept.record_offset
    AND journal.incarnation = kept.incarnation AND journal.day = kept.day
"""

OLD_VIEWS: Final = """
CREATE OR REPLACE VIEW journal_events AS
SELECT day, partition, record_offset, epoch_ms(record_timestamp) AS record_time, epoch_ms(now_ms) AS step_time,
    recorded_at, subject_digest, event_source, event_id, event_type, outcome, reason, error_name, error_message,
    states_before, states_after, revision, definition_hash, record_key,
    try_json(event) AS event, try_json(event_headers) AS event_headers, try_json(outputs) AS outputs
FROM journal;

CREATE OR REPLACE VIEW dead_letters AS
SELECT day, partition, record_offset, epoch_ms(record_timestamp) AS record_time, recorded_at, reason,
    error_name, error_message, event_source, event_id, event_type, record_key,
    try_json(event) AS event, try_json(event_headers) AS event_headers
FROM journal
WHERE outcome = 'dead_lettered'
"""

OLD_PARTITIONS: Final = PARTITIONS.replace("SET (toast_tuple_target = 8160)", "RESET (toast_tuple_target)")

OLD_JOURNAL: Final = """
DROP FUNCTION journal_outputs(bytea), journal_text(bytea), journal_part(bytea, integer), journal_sizes(bytea),
    lz4_decoded(bytea);
ALTER TABLE journal DROP COLUMN block_offset, DROP COLUMN frame_start, DROP COLUMN block;
COMMENT ON COLUMN journal.record_key IS NULL;
COMMENT ON COLUMN journal.event IS 'The value of the record as it came';
COMMENT ON COLUMN journal.event_headers IS 'JSON: a list of [name, {text or base64} or null]';
COMMENT ON COLUMN journal.outputs IS 'JSON: a list of {topic, key, value, headers}'
"""

OLD_INSTANCES: Final = "ALTER TABLE instances SET (fillfactor = 70)"

DOWNGRADE: Final = (RESTORED, OLD_VIEWS, OLD_PARTITIONS, OLD_JOURNAL, OLD_INSTANCES)


def upgrade() -> None:
    """Add the columns, and show what is in them."""
    connection = op.get_bind()
    for part in UPGRADE:
        connection.exec_driver_sql(part)


def downgrade() -> None:
    """Write the bytes into each row again, which takes minutes for each hundred thousand rows."""
    connection = op.get_bind()
    for part in DOWNGRADE:
        connection.exec_driver_sql(part)
