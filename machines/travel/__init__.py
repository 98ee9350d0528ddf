"""A trip: a parent that has its children book at the same time, and a child that has a child of its own."""

from pathlib import Path

from worker.core.machines import setup_machine

from . import functions
from .contracts import cards, flight, hotel, payment, rooms, seats, trip

_HERE = Path(__file__).parent

machines = [
    setup_machine(contract=trip, services=[flight, hotel], statechart=_HERE / "trip.yaml", functions=functions),
    setup_machine(contract=flight, services=[seats, payment], statechart=_HERE / "flight.yaml", functions=functions),
    setup_machine(contract=hotel, services=[rooms], statechart=_HERE / "hotel.yaml", functions=functions),
    setup_machine(contract=payment, services=[cards], statechart=_HERE / "payment.yaml", functions=functions),
]
