"""What the four orchestrators of a trip take and give, and what the services at the end of them do."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from worker.core.contracts import Number, create_contract, create_orchestrator_contract

Price = Annotated[Number, Field(ge=0)]


class TripInit(BaseModel):
    """What starts a trip."""

    trip_id: str
    city: str
    nights: Annotated[int, Field(ge=1)]
    card: str


class TripComplete(BaseModel):
    """What became of a trip: `partly` is a flight or a hotel, without the other."""

    trip_id: str
    status: Literal["booked", "partly", "failed"]
    flight: str | None
    hotel: str | None
    price: Price
    problems: list[str]


class FlightInit(BaseModel):
    """What starts the booking of a flight."""

    trip_id: str
    city: str
    card: str


class HotelInit(BaseModel):
    """What starts the booking of a hotel."""

    trip_id: str
    city: str
    nights: int


class PartComplete(BaseModel):
    """What became of one part of a trip: a booking, or the reason that there is none."""

    booking: str | None
    price: Price
    reason: str | None


class PaymentInit(BaseModel):
    """What starts a payment."""

    reference: str
    amount: Price
    card: str


class PaymentComplete(BaseModel):
    """What became of a payment."""

    paid: bool
    reason: str | None


class HoldSeat(BaseModel):
    """Ask an airline for a seat."""

    trip_id: str
    city: str


class SeatHeld(BaseModel):
    """The seat is held for a day, in which it has to be paid."""

    seat: str
    price: Price


class ReserveRoom(BaseModel):
    """Ask a hotel for a room, paid on arrival."""

    trip_id: str
    city: str
    nights: int


class RoomReserved(BaseModel):
    """The room is reserved."""

    room: str
    price: Price


class ChargeCard(BaseModel):
    """Charge a card."""

    reference: str
    amount: Price
    card: str


class CardCharged(BaseModel):
    """The card was charged."""

    receipt: str


class Refusal(BaseModel):
    """Why a service refused."""

    reason: str


trip = create_orchestrator_contract(
    uri="#/machines/trip", name="trip", versions={"1.0.0": {"init": TripInit, "complete": TripComplete}}
).version("1.0.0")

flight = create_orchestrator_contract(
    uri="#/machines/flight", name="flight", versions={"1.0.0": {"init": FlightInit, "complete": PartComplete}}
).version("1.0.0")

hotel = create_orchestrator_contract(
    uri="#/machines/hotel", name="hotel", versions={"1.0.0": {"init": HotelInit, "complete": PartComplete}}
).version("1.0.0")

payment = create_orchestrator_contract(
    uri="#/machines/payment", name="payment", versions={"1.0.0": {"init": PaymentInit, "complete": PaymentComplete}}
).version("1.0.0")

seats = create_contract(
    uri="#/services/seats",
    type="com.seat.hold",
    versions={
        "1.0.0": {"accepts": HoldSeat, "emits": {"evt.seat.hold.success": SeatHeld, "evt.seat.hold.failure": Refusal}}
    },
).version("1.0.0")

rooms = create_contract(
    uri="#/services/rooms",
    type="com.room.reserve",
    versions={
        "1.0.0": {
            "accepts": ReserveRoom,
            "emits": {"evt.room.reserve.success": RoomReserved, "evt.room.reserve.failure": Refusal},
        }
    },
).version("1.0.0")

cards = create_contract(
    uri="#/services/cards",
    type="com.card.charge",
    versions={
        "1.0.0": {
            "accepts": ChargeCard,
            "emits": {"evt.card.charge.success": CardCharged, "evt.card.charge.declined": Refusal},
        }
    },
).version("1.0.0")
