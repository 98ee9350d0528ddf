"""How each call is reached: what the deployment looks like when the worker with the planned failure starts.

A call that is missing here can't be shown to be safe; a test compares this table with the ports.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tests.failpoints.cells import Deed
from tests.failpoints.tampering import Plan


class Scene(StrEnum):
    """What was there before."""

    FRESH = "nothing was there before"
    LEFT = "a worker died with a batch applied and its Kafka transaction open"
    DEADLY = "workers died at one record again and again"
    STRANGE = "there is an event for a version that no worker has"


@dataclass(frozen=True, slots=True)
class Reach:
    """Reach a call, its `at`-th of the process, in a scene.

    `first` are failures that make the worker call it at all; `asked_to_end` says that it is told to end in the
    middle of its work. In memory, where nothing waits, fewer calls make a run.
    """

    scene: Scene = Scene.FRESH
    at: int = 1
    first: Sequence[Plan] = ()
    asked_to_end: bool = False
    at_in_memory: int | None = None


START: Final = Reach()
MIDDLE: Final = Reach(at=3)
HEIR: Final = Reach(Scene.LEFT)
END: Final = Reach(asked_to_end=True)
UNKNOWN: Final = Plan("Publisher.commit", Deed.FAILS, "PublicationUnknown", at=2)
REFUSED: Final = Plan("Publisher.send_offsets", Deed.FAILS_THOUGH_DONE, "MembershipRefused", at=2)
"""Brokers that refuse offsets know of the transaction by then, so the call is made."""

TOO_LARGE: Final = Plan("Database.write", Deed.FAILS, "BatchTooLarge", at=2)

LEAVING: Final = Plan("Publisher.commit", Deed.KILLED_BEFORE, at=2)
"""The end of the worker before, in the scene that is called LEFT."""

REACHED: Final[Mapping[str, Reach]] = {
    "Positions.positions": HEIR,
    "Positions.insert_positions": START,
    "Positions.claim": HEIR,
    "Positions.release": END,
    "Positions.unpublished": HEIR,
    "Positions.note_attempt": Reach(Scene.DEADLY, at=2),
    "Database.lock": MIDDLE,
    "Database.read": MIDDLE,
    "Database.is_coming": Reach(Scene.STRANGE),
    "Database.write": MIDDLE,
    "Database.commit": MIDDLE,
    "Database.roll_back": Reach(first=(TOO_LARGE,)),
    "Database.close": END,
    "Consumer.join": START,
    "Consumer.poll": Reach(at=25, at_in_memory=3),
    "Consumer.go_on": Reach(Scene.LEFT, at=2),
    "Consumer.pause": Reach(first=(UNKNOWN,)),
    "Consumer.membership": MIDDLE,
    "Consumer.topic_id": START,
    "Consumer.standings": HEIR,
    "Consumer.close": END,
    "Publisher.send": MIDDLE,
    "Publisher.send_offsets": MIDDLE,
    "Publisher.abort": Reach(first=(REFUSED,)),
    "Publisher.commit": MIDDLE,
    "Publisher.replace": Reach(Scene.LEFT),
    "Publisher.fence": HEIR,
    "Publisher.close": END,
    "Parts.look": START,
    "Parts.housekeep": START,
}
