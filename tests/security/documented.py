"""The rights that docs/security.md has, read from its blocks: what stands there is what the tests give."""

import re

from tests.docs.pages import Page
from tests.servers.secured import Acl

PAGE = Page("docs/security.md")
WORKER, SERVICES = "orchestrator-worker", "orchestrator-services"
CLIENT, OPERATOR = "orchestrator-client", "orchestrator-operator"
OWNER_ROLE, WORKER_ROLE, READER_ROLE = "orchestrator_owner", "orchestrator_worker", "orchestrator_reader"
DATABASE = "orchestrator"

_ALLOW = re.compile(
    r"^allow (?P<user>\S+) (?P<operation>\S+) --(?P<kind>\S+) (?P<name>\S+)"
    r"(?P<prefix> --resource-pattern-type prefixed)?$",
    re.MULTILINE,
)
_GRANT = re.compile(rf"^GRANT ([A-Z, ]+) ON (\w+) TO {WORKER_ROLE};$", re.MULTILINE)


def statements(heading: str) -> str:
    """Give the block of SQL that begins with this word."""
    (block,) = [text for text in PAGE.blocks("sql") if text.startswith(f"-- {heading}\n")]
    return block


def acls(user: str | None = None) -> list[Acl]:
    """Give the ACLs, those of one user or all."""
    (block,) = [text for text in PAGE.blocks("sh") if "allow()" in text]
    found = [_acl(match) for match in _ALLOW.finditer(block)]
    assert len(found) == len(re.findall("^allow [^(]", block, re.MULTILINE)), "a line was not understood"
    return [one for one in found if user in (None, one.user)]


def worker_grants() -> list[tuple[str, str]]:
    """Give privilege and table of what workers are granted."""
    found = _GRANT.findall(statements("grants"))
    lines = re.findall(rf"^GRANT .* TO .*{WORKER_ROLE}.*;$", statements("grants"), re.MULTILINE)
    assert len(found) == len(lines), "a line was not understood"
    return [(privilege, table) for privileges, table in found for privilege in privileges.split(", ")]


def _acl(match: re.Match[str]) -> Acl:
    kind = match["kind"].replace("-", "_").upper()
    return Acl(match["user"], match["operation"], kind, match["name"], match["prefix"] is not None)
