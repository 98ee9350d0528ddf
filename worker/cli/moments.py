"""Moments as they are typed: `2026-11-24T13:00`, in UTC unless it says otherwise, or `90m` for so long ago. Pure."""

import re
from datetime import UTC, datetime
from typing import Final

from worker.core.errors import SetupError

_AGO: Final = re.compile(r"(\d{1,6})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_UNITS: Final = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


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


def span_text(milliseconds: int) -> str:
    """Write how long something took, or is ago, in its two largest units, as `3h 12m`."""
    left = max(0, milliseconds) // 1000
    parts: list[str] = []
    for unit, seconds in _UNITS:
        count, left = divmod(left, seconds)
        if count or parts:
            parts.append(f"{count}{unit}")
        if len(parts) == 2:  # noqa: PLR2004
            break
    return " ".join(part for part in parts if not part.startswith("0")) or "0s"


def milliseconds_of(moment: datetime) -> int:
    """Give milliseconds since the epoch."""
    return round(moment.timestamp() * 1000)


def datetime_of(milliseconds: int) -> datetime:
    """Give the aware moment. Raises: ValueError, OverflowError, where there is none."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
