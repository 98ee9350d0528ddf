"""What the charts of both versions call by name: a change here changes both."""

from collections.abc import Mapping
from typing import Any, Final

_PRICES: Final = {"basic": 10, "full": 30}


def price(plan: str, discount: int = 0) -> float:
    """Give what a plan costs, `discount` percent off."""
    return round(_PRICES[plan] * (100 - discount) / 100, 2)


def why(event_type: str, data: Mapping[str, Any]) -> str:
    """Tell why there is no subscription: the message of a system error, or the reason that a service gave."""
    return str(data["errorMessage"] if event_type.startswith("sys.") else data["reason"])
