"""Versions of the worker beside the one of this tree: a copy with more migrations, and what a version's may do."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from worker.adapters.postgres import migrate as module

ROOT: Final = Path(__file__).parents[2]
TREES: Final = ("worker", "migrations", "machines")
TAKES_AWAY: Final = "DROP VIEW v_stuck"
"""Nothing that a worker needs, but a worker can't know."""

RELEASED: Final = "0007"
"""Up to here there was no version before."""

_REVISION: Final = '''"""A change of the next version.

Runs {phase} the workers of this version are rolled out.
"""

from alembic import op

revision = "{name}"
down_revision = "{down}"
branch_labels = None
depends_on = None
phase = "{phase}"


def upgrade() -> None:
    """Change it."""
    op.execute({statement!r})


def downgrade() -> None:
    """Leave it."""
'''

_HARMFUL: Final = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "DROP TABLE": r"\bDROP\s+TABLE\b|drop_table\(",
        "DROP COLUMN": r"\bDROP\s+COLUMN\b|drop_column\(",
        "RENAME": r"\bRENAME\b|rename_table\(",
        "TYPE": r"\bALTER\s+COLUMN\s+\w+\s+(SET\s+DATA\s+)?TYPE\b",
        "SET NOT NULL": r"\bSET\s+NOT\s+NULL\b",
        "CREATE INDEX": r"\bCREATE\s+(UNIQUE\s+)?INDEX\b|create_index\(",
        "ADD CHECK": r"\bADD\s+(CONSTRAINT\s+\w+\s+)?CHECK\b(?!.*NOT\s+VALID)",
    }.items()
}
"""What workers of the version before can't bear, or what holds a table for as long as it takes to read it."""


@dataclass(slots=True)
class Release:
    """A tree with a worker and its migrations."""

    folder: Path
    _patch: pytest.MonkeyPatch | None = None

    def in_place_by(self, patch: pytest.MonkeyPatch) -> "Release":
        self._patch = patch
        return self

    def put_in(self) -> None:
        """Have this process migrate as this version does."""
        assert self._patch is not None
        self._patch.setattr(module, "_config", self.config)

    def put_back(self) -> None:
        """Have this process migrate as the tree of the tests does."""
        assert self._patch is not None
        self._patch.setattr(module, "_config", Release(ROOT).config)

    def config(self) -> Config:
        config = Config()
        config.set_main_option("script_location", str(self.folder / "migrations"))
        return config

    def faults(self) -> Iterator[str]:
        """Find revisions that do not say when they run, or run before a roll-out and do more than add."""
        scripts = list(ScriptDirectory.from_config(self.config()).walk_revisions())[::-1]
        for script in scripts:
            phase = getattr(script.module, "phase", None)
            if phase not in (module.BEFORE, module.AFTER):
                yield f"{script.revision}: its phase is {phase!r}, expected 'before' or 'after'"
            elif phase == module.BEFORE and script.revision > RELEASED:
                upgrade = Path(script.path).read_text().partition("def downgrade")[0]
                yield from (
                    f"{script.revision}: {name} in a revision that runs before a roll-out"
                    for name, pattern in _HARMFUL.items()
                    if pattern.search(upgrade)
                )


def copy_of(folder: Path, source: Path = ROOT) -> Release:
    """Copy a tree's worker, machines and migrations."""
    for tree in TREES:
        shutil.copytree(source / tree, folder / tree, ignore=shutil.ignore_patterns("__pycache__"))
    return Release(folder)


def add_revision(release: Release, name: str, phase: str, statement: str) -> None:
    """Add a revision at the end of a version's line."""
    head = ScriptDirectory.from_config(release.config()).get_current_head()
    text = _REVISION.format(name=name, down=head, phase=phase, statement=statement)
    (release.folder / "migrations" / "versions" / f"{name}_next.py").write_text(text)
