"""The hot SQL: one statement for everything of its kind in a batch, binary parameters, no ORM.

Rows of the journal carry the incarnation of their position row, so that offsets which name other records by now (the
topic was made anew, or reading began elsewhere) are not taken for the same.
"""

from worker.adapters.postgres.blocks import HELD, ROW_BYTES

SETTINGS = """
SELECT set_config('lock_timeout', %s, true),
       set_config('statement_timeout', %s, true),
       set_config('idle_in_transaction_session_timeout', %s, true),
       set_config('synchronous_commit',
                  CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on'
                       ELSE current_setting('synchronous_commit') END, true)
"""

BY_INDEX = f"""{SETTINGS.rstrip()},
       set_config('enable_seqscan', 'off', true),
       set_config('enable_hashjoin', 'off', true),
       set_config('enable_mergejoin', 'off', true)
"""
"""A batch's settings. Its statements find rows by their keys; a plan that was made while a table was small and is kept
would read all of it once it is large."""

LOCK_POSITIONS = """
SELECT partition, next_offset, owner, incarnation
FROM positions WHERE partition = ANY(%b::int[]) ORDER BY partition FOR UPDATE
"""

LOCK_SUBJECTS = "SELECT count(*) FROM (SELECT pg_advisory_xact_lock(key) FROM unnest(%b::bigint[]) AS key) AS locked"

SEEN_EVENTS = """
SELECT subject_digest, event_source, event_id, content_digest
FROM journal
WHERE event_key = ANY(%b::bigint[]) AND consumed AND day >= current_date - %b::int
"""

INSTANCES = """
SELECT subject_digest, subject, source, version, status, snapshot::text, init_event_id, parent_subject, now_ms, revision
FROM instances WHERE subject_digest = ANY(%b::bytea[])
"""

ARCHIVED_INSTANCES = INSTANCES.replace("FROM instances ", "FROM instances_archive ")

IS_ARCHIVE_THERE = "SELECT EXISTS (SELECT FROM instances_archive)"

INSERT_INSTANCES = """
INSERT INTO instances (subject_digest, subject, parent_subject, parent_digest, source, version, status, states,
                       snapshot, output, init_event_id, revision, now_ms, ended_at)
SELECT subject_digest, subject, parent_subject, parent_digest, source, version, status, states::text[],
       snapshot::jsonb, output::jsonb, init_event_id, revision, now_ms,
       CASE WHEN status <> 'active' THEN now() END
FROM unnest(%b::bytea[], %b::text[], %b::text[], %b::bytea[], %b::text[], %b::text[], %b::text[], %b::text[],
            %b::text[], %b::text[], %b::text[], %b::bigint[], %b::bigint[])
  AS row (subject_digest, subject, parent_subject, parent_digest, source, version, status, states,
          snapshot, output, init_event_id, revision, now_ms)
ON CONFLICT DO NOTHING
"""

UPDATE_INSTANCES = """
UPDATE instances
SET status = row.status, states = row.states::text[], snapshot = row.snapshot::jsonb, output = row.output::jsonb,
    revision = row.revision, now_ms = row.now_ms, updated_at = now(),
    ended_at = CASE WHEN row.status <> 'active' THEN now() END
FROM unnest(%b::bytea[], %b::text[], %b::text[], %b::text[], %b::text[], %b::bigint[], %b::bigint[], %b::bigint[])
  AS row (subject_digest, status, states, snapshot, output, revision, now_ms, revision_before)
WHERE instances.subject_digest = row.subject_digest AND instances.revision = row.revision_before
"""

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"

COMMIT = "COMMIT"

ROLLBACK = "ROLLBACK"

BEGIN_LOCKED = f"{BEGIN};{SETTINGS};SELECT pg_advisory_xact_lock(%s)"

REPLACE_INSTANCES = """
UPDATE instances
SET parent_subject = row.parent_subject, parent_digest = row.parent_digest, source = row.source,
    version = row.version, status = row.status, states = row.states::text[], snapshot = row.snapshot::jsonb,
    output = row.output::jsonb, init_event_id = row.init_event_id, revision = row.revision, now_ms = row.now_ms,
    updated_at = now(), ended_at = CASE WHEN row.status <> 'active' THEN now() END
FROM unnest(%b::bytea[], %b::text[], %b::text[], %b::bytea[], %b::text[], %b::text[], %b::text[], %b::text[],
            %b::text[], %b::text[], %b::text[], %b::bigint[], %b::bigint[])
  AS row (subject_digest, subject, parent_subject, parent_digest, source, version, status, states,
          snapshot, output, init_event_id, revision, now_ms)
WHERE instances.subject_digest = row.subject_digest AND instances.revision = %b
"""

INSTANCE_AT = "SELECT FROM instances WHERE subject_digest = %b AND revision = %b"

NO_INSTANCE = "SELECT WHERE NOT EXISTS (SELECT FROM instances WHERE subject_digest = %b)"

CONSUMPTION = "SELECT content_digest, emitted FROM consumptions WHERE event_digest = %b"

INSERT_CONSUMPTION = """
INSERT INTO consumptions (event_digest, subject_digest, event_source, event_id, event_type, content_digest, emitted)
VALUES (%b, %b, %b, %b, %b, %b, %b)
ON CONFLICT DO NOTHING
"""

FORGET_CONSUMPTIONS = """
DELETE FROM consumptions
WHERE event_digest IN (SELECT event_digest FROM consumptions WHERE consumed_at < %s LIMIT %s)
"""

UPDATE_POSITIONS = """
UPDATE positions
SET next_offset = row.next_offset, published_offset = greatest(positions.published_offset, row.published_offset),
    deaths = CASE WHEN row.next_offset = positions.next_offset THEN deaths ELSE 0 END,
    attempts = CASE WHEN row.next_offset = positions.next_offset THEN attempts ELSE 0 END,
    updated_at = now()
FROM unnest(%b::int[], %b::bigint[], %b::bigint[]) AS row (partition, next_offset, published_offset)
WHERE positions.partition = row.partition
"""

POSITIONS = """
SELECT partition, topic_id, next_offset, published_offset, owner, transactional_id, deaths, attempts, claims
FROM positions WHERE partition = ANY(%b::int[]) ORDER BY partition
"""

POSITIONS_LOCKED = f"{POSITIONS} FOR UPDATE"

INSERT_POSITIONS = """
INSERT INTO positions (partition, topic_id, next_offset, published_offset, owner, transactional_id)
SELECT * FROM unnest(%b::int[], %b::text[], %b::bigint[], %b::bigint[], %b::text[], %b::text[])
ON CONFLICT DO NOTHING
"""

CLAIM_POSITIONS = """
UPDATE positions
SET deaths = deaths + CASE WHEN owner <> %(owner)s THEN 1 ELSE 0 END, owner = %(owner)s,
    transactional_id = %(transactional_id)s, claims = claims + 1, updated_at = now()
WHERE partition = ANY(%(partitions)b::int[])
"""

NOTE_ATTEMPT = """
UPDATE positions SET attempts = attempts + 1, updated_at = now()
WHERE partition = %s AND owner = %s AND next_offset = %s
RETURNING attempts - 1
"""

END_SESSIONS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE application_name = ANY(%b::text[]) AND pid <> pg_backend_pid()
"""

RELEASE_POSITIONS = """
UPDATE positions
SET owner = NULL, transactional_id = NULL, deaths = 0, updated_at = now(),
    published_offset = greatest(positions.published_offset, row.published_offset)
FROM unnest(%b::int[], %b::bigint[]) AS row (partition, published_offset)
WHERE positions.partition = row.partition AND positions.owner = %s
"""

UNPUBLISHED = f"""
SELECT row.record_offset, {ROW_BYTES}
FROM journal AS row JOIN positions USING (partition, incarnation) {HELD}
WHERE row.partition = %s AND row.record_offset >= %s AND row.record_offset < %s AND row.outputs IS NOT NULL
ORDER BY row.record_offset
"""  # noqa: S608 - Put together of constants.

IS_COMING = """
SELECT EXISTS (
    SELECT FROM definitions WHERE source = %s AND version = %s AND last_registered_at > %s - interval '5 minutes'
)
"""

BINDING = "SELECT cluster_id, group_id, input_topic FROM binding"

INSERT_BINDING = "INSERT INTO binding (cluster_id, group_id, input_topic) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"

LOCK_TABLE_SIZE = """
SELECT current_setting('max_locks_per_transaction')::int
     * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int)
"""
