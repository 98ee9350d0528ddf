"""A machine that does to its worker what its init says; copied beside the worker that runs it."""

import os
import re
import signal
from typing import Literal

from pydantic import BaseModel

from worker.core.contracts import create_orchestrator_contract
from worker.core.machines import setup_machine

SLOW_PATTERN = re.compile("(a+)+b")
"""A search that takes longer than a life, in C, and holds the interpreter meanwhile."""


class Deed(BaseModel):
    """What to do."""

    deed: Literal["nothing", "kill", "spin"]


class Done(BaseModel):
    """What was done."""

    deed: str


def do(deed: str) -> str:
    """Do it."""
    if deed == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "spin":
        SLOW_PATTERN.match("a" * 60)
    return deed


deadly = create_orchestrator_contract(
    uri="#/machines/deadly",
    name="deadly",
    versions={version: {"init": Deed, "complete": Done} for version in ("1.0.0", "2.0.0")},
)

CHART = """
statechart:
  name: deadly
  preamble: done = do(init["deed"])
  root state:
    name: deadly
    initial: done
    states:
      - name: done
        type: final
        on entry: complete(deed=done)
"""

machine = setup_machine(contract=deadly.version("1.0.0"), statechart=CHART, functions={"do": do})
