"""Two orchestrators, of which one calls the other: a parent that has its child double a number."""

from pydantic import BaseModel

from worker.core.contracts import create_orchestrator_contract
from worker.core.machines import setup_machine


class Given(BaseModel):
    """A number."""

    number: int


class Doubled(BaseModel):
    """Twice the number."""

    double: int


child = create_orchestrator_contract(
    uri="#/machines/child", name="child", versions={"1.0.0": {"init": Given, "complete": Doubled}}
).version("1.0.0")

parent = create_orchestrator_contract(
    uri="#/machines/parent", name="parent", versions={"1.0.0": {"init": Given, "complete": Doubled}}
).version("1.0.0")

CHILD = """
statechart:
  name: child
  preamble: number = init["number"]
  root state:
    name: child
    initial: doubling
    states:
      - name: doubling
        transitions:
          - target: doubled
      - name: doubled
        type: final
        on entry: complete(double=2 * number)
"""

PARENT = """
statechart:
  name: parent
  preamble: |
    number = init["number"]
    double = None
  root state:
    name: parent
    initial: asking
    states:
      - name: asking
        on entry: |
          emit("arvo.orc.child", {"number": number, "parentSubject$$": subject})
        transitions:
          - event: arvo.orc.child.done
            target: answered
            action: double = event.data["double"]
          - event: sys.arvo.orc.child.error
            target: failed
      - name: answered
        type: final
        on entry: complete(double=double)
      - name: failed
        type: final
        on entry: complete(double=-1)
"""

machines = [
    setup_machine(contract=child, statechart=CHILD),
    setup_machine(contract=parent, services=[child], statechart=PARENT),
]
