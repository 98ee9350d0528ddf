"""Moments as they are typed: `2026-11-24T13:00`, in UTC unless it says otherwise, or `90m` for so long ago. Pure."""

import re
from datetime import UTC, datetime
from typing import Final

from worker.core.errors import SetupError

_AGO: Final = re.compile(r"(\d{1,6})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def read_moment(text: str, option: str, now: int) -> int:
    """Give milliseconds since the epoch. Raises: SetupError that names the option."""
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return now - int(ago[1]) * _SECONDS[ago[2]] * 1000
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise SetupError(f"{option}: expected a time as 2026-11-24T13:00, or 90m, 2h, 7d ago; got {text}") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def moment_text(milliseconds: int) -> str:
    """Write a moment in UTC, to the second."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, OSError, ValueError):
        return "-"
