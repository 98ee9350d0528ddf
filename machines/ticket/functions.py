"""What the ticket's chart calls by name."""

URGENT_FROM = 10_000
"""What a customer pays in a year whose tickets are urgent."""


def queue(value: float) -> str:
    """Name the domain in which a ticket is solved, by what the customer pays."""
    return "priority" if value >= URGENT_FROM else "default"
