"""What a worker's user must be allowed in PostgreSQL, and what of it is missing."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from worker.core.errors import SetupError

RUNTIME_RIGHTS: Final[Mapping[str, Sequence[str]]] = {
    "alembic_version": ("SELECT",),
    "schema_support": ("SELECT",),
    "binding": ("SELECT", "INSERT"),
    "definitions": ("SELECT", "INSERT", "UPDATE"),
    "positions": ("SELECT", "INSERT", "UPDATE"),
    "instances": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "instances_archive": ("SELECT", "INSERT"),
    "upkeep": ("SELECT", "INSERT", "UPDATE"),
}
"""What a worker does with each table, beside the journal, which it owns: it makes and drops its days."""

OWNED: Final = ("journal", "journal_default")

LACKING: Final = """
SELECT 1, privilege, name, current_user::text, current_schema()::text
FROM unnest(%s::text[], %s::text[]) AS one (name, privilege)
WHERE to_regclass(one.name) IS NOT NULL AND NOT has_table_privilege(to_regclass(one.name), one.privilege)
UNION ALL
SELECT 2, 'OWNER', relname::text, current_user::text, current_schema()::text FROM pg_class
WHERE oid IN (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name) AND NOT pg_has_role(relowner, 'USAGE')
UNION ALL
SELECT 3, 'CREATE', current_schema()::text, current_user::text, current_schema()::text
WHERE NOT has_schema_privilege(current_schema(), 'CREATE')
ORDER BY 1, 3, 2
"""
"""What this session's user lacks: kind, privilege, of what; and who that is, in which schema."""


def parameters() -> tuple[list[str], list[str], list[str]]:
    """Give what `LACKING` takes."""
    pairs = [(table, privilege) for table, privileges in RUNTIME_RIGHTS.items() for privilege in privileges]
    return [table for table, _ in pairs], [privilege for _, privilege in pairs], list(OWNED)


def told(rows: Sequence[tuple[Any, ...]]) -> list[tuple[str, str]]:
    """Give each right that is missing, for people, with the statement that grants it."""
    return list(_told(rows))


def require(rows: Sequence[tuple[Any, ...]]) -> None:
    """Check that nothing is missing. Raises: SetupError that names it all."""
    if rows:
        user = rows[0][3]
        lacking = told(rows)
        statements = "; ".join(statement for _, statement in lacking)
        raise SetupError(
            f"PostgreSQL's user {user} lacks {', '.join(text for text, _ in lacking)}. As the owner of the tables run: "
            f"{statements}; docs/security.md has all that is needed"
        )


def _told(rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[str, str]]:
    for kind, privilege, name, user, _ in rows:
        match kind:
            case 1:
                yield f"{privilege} on {name}", f'GRANT {privilege} ON {name} TO "{user}"'
            case 2:
                yield f"the ownership of {name}", f'ALTER TABLE {name} OWNER TO "{user}"'
            case _:
                yield f"CREATE on the schema {name}", f'GRANT CREATE ON SCHEMA {name} TO "{user}"'
