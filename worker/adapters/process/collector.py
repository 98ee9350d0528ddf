"""The garbage collector, for a process whose memory is one batch after the other."""

import gc
from typing import Final

YOUNG_OBJECTS_MAX: Final = 250_000
"""After how many objects the collector looks for cycles: more than a batch has, whose objects die with it."""


def spare_collector() -> None:
    """Have the collector look seldom, and never again at what is there now: call it once all is set up.

    A batch's objects form no cycles, but there are many until it is committed, and each look goes through all of them.
    What does form some, an error's traceback say, is collected all the same, later.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX, *gc.get_threshold()[1:])
