"""Two orchestrators for operators: a parent whose child waits for an answer that nobody gives."""

from pydantic import BaseModel

from worker.core.contracts import create_contract, create_orchestrator_contract
from worker.core.machines import setup_machine


class Given(BaseModel):
    """A number."""

    number: int


class Answered(BaseModel):
    """How it ended."""

    how: str


ask = create_contract(
    uri="#/services/ask",
    type="com.ask.nobody",
    versions={"1.0.0": {"accepts": Given, "emits": {"evt.asked.nobody": Given}}},
).version("1.0.0")

child = create_orchestrator_contract(
    uri="#/machines/child", name="child", versions={"1.0.0": {"init": Given, "complete": Answered}}
).version("1.0.0")

parent = create_orchestrator_contract(
    uri="#/machines/parent", name="parent", versions={"1.0.0": {"init": Given, "complete": Answered}}
).version("1.0.0")

CHILD = """
statechart:
  name: child
  root state:
    name: child
    initial: asking
    states:
      - name: asking
        on entry: |
          emit("com.ask.nobody", {"number": init["number"]})
        transitions:
          - event: evt.asked.nobody
            target: answered
          - event: sys.com.ask.nobody.error
            target: answered
      - name: answered
        type: final
        on entry: complete(how="answered")
"""

PARENT = """
statechart:
  name: parent
  preamble: how = ""
  root state:
    name: parent
    initial: asking
    states:
      - name: asking
        on entry: |
          emit("arvo.orc.child", {"number": init["number"], "parentSubject$$": subject})
        transitions:
          - event: arvo.orc.child.done
            target: ended
            action: how = event.data["how"]
          - event: sys.arvo.orc.child.error
            target: ended
            action: how = event.data["errorName"]
      - name: ended
        type: final
        on entry: complete(how=how)
"""

machines = [
    setup_machine(contract=child, services=[ask], statechart=CHILD),
    setup_machine(contract=parent, services=[child], statechart=PARENT),
]
