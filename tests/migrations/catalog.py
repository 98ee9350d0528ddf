"""What PostgreSQL knows of a schema, as plain rows: two databases are equal if these are."""

from typing import Any, Final

import psycopg

_QUERIES: Final = {
    "relations": """
SELECT c.relname, c.relkind, c.reloptions, c.relispartition, c.relpersistence, am.amname,
    pg_get_expr(c.relpartbound, c.oid), pg_get_partkeydef(c.oid), obj_description(c.oid, 'pg_class')
FROM pg_class c LEFT JOIN pg_am am ON am.oid = c.relam
WHERE c.relnamespace = current_schema()::regnamespace AND c.relname NOT LIKE 'alembic_version%'
""",
    "columns": """
SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attcompression,
    a.attstorage, a.attidentity, a.attgenerated, a.attcollation::regcollation::text,
    pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = current_schema()::regnamespace AND c.relname NOT LIKE 'alembic_version%'
""",
    "constraints": """
SELECT conrelid::regclass::text, conname, contype, convalidated, conislocal, coninhcount, pg_get_constraintdef(oid)
FROM pg_constraint
WHERE connamespace = current_schema()::regnamespace AND conrelid::regclass::text <> 'alembic_version'
""",
    "indexes": """
SELECT tablename, indexname, indexdef FROM pg_indexes
WHERE schemaname = current_schema() AND tablename <> 'alembic_version'
""",
    "inheritance": """
SELECT inhrelid::regclass::text, inhparent::regclass::text FROM pg_inherits
""",
    "views": """
SELECT viewname, definition FROM pg_views WHERE schemaname = current_schema()
""",
    "functions": """
SELECT oid::regprocedure::text, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = current_schema()::regnamespace
""",
    "types": """
SELECT typname, typtype FROM pg_type
WHERE typnamespace = current_schema()::regnamespace AND typname NOT LIKE '%alembic_version'
""",
}


def describe_schema(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Read everything that makes up the schema, apart from Alembic's own table."""
    with psycopg.connect(url) as connection:
        # The texts of the server name a relation's schema only where the search path does not find it.
        return {name: sorted(connection.execute(query), key=repr) for name, query in _QUERIES.items()}
