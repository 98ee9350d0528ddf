"""A machine that asks in a domain; a test writes a copy beside the worker, with the domain declared or not."""

from pydantic import BaseModel

from worker.core.contracts import create_contract, create_orchestrator_contract
from worker.core.machines import setup_machine

DECLARED: tuple[str, ...] = ()
"""The domains that workers make sure of at their start."""


class Keep(BaseModel):
    """Which paper to keep."""

    paper: str


class Kept(BaseModel):
    """Where it is kept."""

    shelf: str


archive = create_orchestrator_contract(
    uri="#/machines/archive", name="archive", versions={"1.0.0": {"init": Keep, "complete": Kept}}
).version("1.0.0")

shelf = create_contract(
    uri="#/services/shelf",
    type="com.shelf.find",
    versions={"1.0.0": {"accepts": Keep, "emits": {"evt.shelf.find.success": Kept}}},
).version("1.0.0")

CHART = """
statechart:
  name: archive
  preamble: |
    paper = init["paper"]
    found = None
  root state:
    name: archive
    initial: asking
    states:
      - name: asking
        on entry: |
          _domain = "audit"
          emit("com.shelf.find", {"paper": paper}, domains=[_domain])
        transitions:
          - event: evt.shelf.find.success
            target: kept
            action: found = event.data["shelf"]
          - event: sys.com.shelf.find.error
            target: kept
      - name: kept
        type: final
        on entry: complete(shelf=found or "none")
"""

machine = setup_machine(contract=archive, services=[shelf], statechart=CHART, domains=DECLARED)
