"""What the order's chart calls by name."""

from collections.abc import Mapping
from typing import Any


def refusal(event_type: str, data: Mapping[str, Any]) -> str:
    """Tell why a service refused or failed: its own reason, or the message of its system error."""
    if event_type.startswith("sys."):
        return str(data["errorMessage"])
    return str(data["reason"])
