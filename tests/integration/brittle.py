"""A machine that divides, and fails on zero; copied beside the worker that runs it."""

from pydantic import BaseModel

from worker.core.contracts import create_orchestrator_contract
from worker.core.machines import setup_machine


class Divide(BaseModel):
    """A number, and what to divide it by."""

    number: int
    by: int


class Divided(BaseModel):
    """What came of it."""

    result: float


brittle = create_orchestrator_contract(
    uri="#/machines/brittle", name="brittle", versions={"1.0.0": {"init": Divide, "complete": Divided}}
).version("1.0.0")

CHART = """
statechart:
  name: brittle
  preamble: result = init["number"] / init["by"]
  root state:
    name: brittle
    initial: divided
    states:
      - name: divided
        type: final
        on entry: complete(result=result)
"""

machine = setup_machine(contract=brittle, statechart=CHART)
