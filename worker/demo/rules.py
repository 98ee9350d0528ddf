"""What the sample services answer by, and the demo's orders are made by."""

from collections.abc import Mapping
from typing import Final

ORDER_MACHINE: Final = "arvo.orc.order"

OUT_OF_STOCK: Final = "out-of-stock"
APPROVAL_LIMIT: Final = 1000
PAYMENT_LIMIT: Final = 500

OUT_OF_STOCK_REASON: Final = "an item is out of stock"
DECLINED_REASON: Final = f"the card's limit is {PAYMENT_LIMIT}"

_PRICES: Final[Mapping[str, float]] = {"pen": 2.5, "lamp": 40.0, "chair": 120.0, "desk": 280.0}
_OTHER_PRICE: Final = 10.0


def price(sku: str, qty: int) -> float:
    """Give what so many of an item cost."""
    return _PRICES.get(sku, _OTHER_PRICE) * qty
