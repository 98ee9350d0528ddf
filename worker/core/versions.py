"""Versions `X.Y.Z`, and the `dataschema` that carries one."""

import re
from typing import Final

WILDCARD_VERSION: Final = "0.0.0"

VERSION: Final = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")
_DATASCHEMA: Final = re.compile(r"(?:(.*)/)?([0-9]+\.[0-9]+\.[0-9]+)", re.DOTALL)


def is_valid_version(text: str) -> bool:
    """Tell whether the text is a version; the wildcard is one."""
    return VERSION.fullmatch(text) is not None


def version_key(version: str) -> tuple[int, int, int]:
    """Give what versions are sorted by. Raises: ValueError, if the text is no version."""
    if not is_valid_version(version):
        raise ValueError(f"{version!r} is no version; expected three numbers, as 1.0.0.")
    major, minor, patch = version.split(".")
    return int(major), int(minor), int(patch)


def compare_versions(a: str, b: str) -> int:
    """Give -1, 0 or 1, as `a` is older than, the same as, or newer than `b`. Raises: ValueError."""
    left, right = version_key(a), version_key(b)
    return (left > right) - (left < right)


def make_dataschema(uri: str, version: str) -> str:
    """Name a contract's version as events carry it."""
    return f"{uri}/{version}"


def parse_dataschema(text: str) -> tuple[str, str] | None:
    """Split a dataschema into the contract's URI and the version; None if it holds no version."""
    found = _DATASCHEMA.fullmatch(text)
    return (found[1] or "", found[2]) if found else None
