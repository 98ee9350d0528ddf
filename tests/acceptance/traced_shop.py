"""A workflow that asks a service, then a child, before it ends: what a trace goes through."""

from pydantic import BaseModel

from worker.core.contracts import create_contract, create_orchestrator_contract
from worker.core.machines import setup_machine
from worker.services.service import service


class Given(BaseModel):
    """A number."""

    number: int


class Counted(BaseModel):
    """What became of it."""

    number: int


child = create_orchestrator_contract(
    uri="#/machines/double", name="double", versions={"1.0.0": {"init": Given, "complete": Counted}}
).version("1.0.0")
parent = create_orchestrator_contract(
    uri="#/machines/shop", name="shop", versions={"1.0.0": {"init": Given, "complete": Counted}}
).version("1.0.0")
adding = create_contract(
    uri="#/services/adding",
    type="com.adding.one",
    versions={"1.0.0": {"accepts": Given, "emits": {"evt.adding.one.done": Counted}}},
).version("1.0.0")


@service(adding)
def add(given: Given) -> Counted:
    """Add one."""
    return Counted(number=given.number + 1)


CHILD = """
statechart:
  name: double
  preamble: number = init["number"]
  root state:
    name: double
    initial: doubling
    states:
      - name: doubling
        transitions:
          - target: doubled
      - name: doubled
        type: final
        on entry: complete(number=2 * number)
"""

PARENT = """
statechart:
  name: shop
  preamble: number = init["number"]
  root state:
    name: shop
    initial: adding
    states:
      - name: adding
        on entry: |
          emit("com.adding.one", {"number": number})
        transitions:
          - event: evt.adding.one.done
            target: doubling
            action: number = event.data["number"]
      - name: doubling
        on entry: |
          emit("arvo.orc.double", {"number": number, "parentSubject$$": subject})
        transitions:
          - event: arvo.orc.double.done
            target: counted
            action: number = event.data["number"]
      - name: counted
        type: final
        on entry: complete(number=number)
"""

machines = [
    setup_machine(contract=child, statechart=CHILD),
    setup_machine(contract=parent, services=[adding, child], statechart=PARENT),
]
