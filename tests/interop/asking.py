"""An orchestrator whose child runs in TypeScript: it has a number doubled."""

from pydantic import BaseModel

from worker.core.contracts import Number, create_orchestrator_contract
from worker.core.machines import setup_machine


class Given(BaseModel):
    """A number."""

    number: Number


class Doubled(BaseModel):
    """Twice the number."""

    double: Number


doubling = create_orchestrator_contract(
    uri="#/machines/doubling", name="doubling", versions={"1.0.0": {"init": Given, "complete": Doubled}}
).version("1.0.0")

asking = create_orchestrator_contract(
    uri="#/machines/asking", name="asking", versions={"1.0.0": {"init": Given, "complete": Doubled}}
).version("1.0.0")

ASKING = """
statechart:
  name: asking
  preamble: |
    number = init["number"]
    double = None
  root state:
    name: asking
    initial: waiting
    states:
      - name: waiting
        on entry: |
          emit("arvo.orc.doubling", {"number": number, "parentSubject$$": subject})
        transitions:
          - event: arvo.orc.doubling.done
            target: answered
            action: double = event.data["double"]
          - event: sys.arvo.orc.doubling.error
            target: failed
      - name: answered
        type: final
        on entry: complete(double=double)
      - name: failed
        type: final
        on entry: complete(double=-1)
"""

machines = [setup_machine(contract=asking, services=[doubling], statechart=ASKING)]
