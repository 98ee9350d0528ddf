"""What the charts of a trip call by name."""

from collections.abc import Mapping
from typing import Any


def why(event_type: str, data: Mapping[str, Any]) -> str:
    """Tell why there is no booking: the message of a system error, or the reason that somebody gave."""
    return str(data["errorMessage"] if event_type.startswith("sys.") else data["reason"])
