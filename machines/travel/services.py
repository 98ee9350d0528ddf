"""Sample services at the ends of a trip.

What they answer can be read off the data:

the city `Nowhere`    there are no seats
the city `Fully`      there are no rooms
the card `empty`      it is declined
"""

from typing import Final

from worker import service

from .contracts import (
    CardCharged,
    ChargeCard,
    HoldSeat,
    Refusal,
    ReserveRoom,
    RoomReserved,
    SeatHeld,
    cards,
    rooms,
    seats,
)

SEAT_PRICE: Final = 120
ROOM_PRICE: Final = 80
NO_SEATS: Final = "Nowhere"
NO_ROOMS: Final = "Fully"
NO_MONEY: Final = "empty"


@service(seats)
def hold_seat(request: HoldSeat) -> SeatHeld | Refusal:
    """Hold a seat."""
    if request.city == NO_SEATS:
        return Refusal(reason=f"no flight goes to {request.city}")
    return SeatHeld(seat=f"seat-{request.trip_id}", price=SEAT_PRICE)


@service(rooms)
def reserve_room(request: ReserveRoom) -> RoomReserved | Refusal:
    """Reserve a room."""
    if request.city == NO_ROOMS:
        return Refusal(reason=f"all hotels of {request.city} are full")
    return RoomReserved(room=f"room-{request.trip_id}", price=ROOM_PRICE * request.nights)


@service(cards)
def charge_card(request: ChargeCard) -> CardCharged | Refusal:
    """Charge a card."""
    if request.card == NO_MONEY:
        return Refusal(reason="the card is declined")
    return CardCharged(receipt=f"receipt-{request.reference}")
