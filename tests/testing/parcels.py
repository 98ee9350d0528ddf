"""A parent, a child and two services: a parcel has a label printed, is sent, and tells analytics of it."""

from typing import Literal

from pydantic import BaseModel

from tests.core.engine.charts import chart_text
from worker.core.contracts import create_contract, create_orchestrator_contract
from worker.core.machines import Machine, setup_machine
from worker.services.service import service

PARCEL = "arvo.orc.parcel"
LABEL = "arvo.orc.label"
PRINT = "com.label.print"
SEND = "com.parcel.send"


class Parcel(BaseModel):
    city: str


class Sent(BaseModel):
    status: Literal["sent", "lost"]
    label: str | None = None


class LabelText(BaseModel):
    text: str


class Printed(BaseModel):
    label: str


class Carrier(BaseModel):
    carrier: str


VERSIONS = ("1.0.0", "2.0.0")

parcel_contract = create_orchestrator_contract(
    uri="#/orc/parcel", name="parcel", versions={version: {"init": Parcel, "complete": Sent} for version in VERSIONS}
)
label_contract = create_orchestrator_contract(
    uri="#/orc/label", name="label", versions={"1.0.0": {"init": LabelText, "complete": Printed}}
)
print_contract = create_contract(
    uri="#/svc/print",
    type=PRINT,
    versions={version: {"accepts": LabelText, "emits": {"evt.label.print.success": Printed}} for version in VERSIONS},
)
send_contract = create_contract(
    uri="#/svc/send",
    type=SEND,
    versions={"1.0.0": {"accepts": Printed, "emits": {"evt.parcel.send.success": Carrier}}},
)

_PARCEL = chart_text(
    f"""
    initial: labelling
    states:
      - name: labelling
        on entry: |
          emit("{LABEL}", {{"parentSubject$$": subject, "text": city}})
          emit("com.parcel.counted", {{"city": city}}, domains=["analytics", "default"])
        transitions:
          - event: {LABEL}.done
            target: sending
            action: label = event.data["label"]
          - event: sys.{LABEL}.error
            target: lost
      - name: sending
        on entry: |
          sent_at = now.isoformat()
          emit("{SEND}", {{"label": label}}, domains=["carriers"])
        transitions:
          - event: evt.parcel.send.success
            target: gone
      - name: gone
        type: final
        on entry: complete(status="sent", label=label)
      - name: lost
        type: final
        on entry: complete(status="lost")
    """,
    """
    city = init["city"]
    label = None
    sent_at = None
    """,
)

_LABEL = chart_text(
    f"""
    initial: printing
    states:
      - name: printing
        on entry: |
          emit("{PRINT}", {{"text": text}})
        transitions:
          - event: evt.label.print.success
            target: printed
            action: complete(label=event.data["label"])
      - name: printed
        type: final
    """,
    'text = init["text"]',
)


def parcel(version: str = "1.0.0") -> Machine:
    return setup_machine(
        contract=parcel_contract.version(version),
        services=[label_contract.version("1.0.0"), send_contract.version("1.0.0")],
        statechart=_PARCEL,
    )


def label(print_version: str = "1.0.0") -> Machine:
    return setup_machine(
        contract=label_contract.version("1.0.0"), services=[print_contract.version(print_version)], statechart=_LABEL
    )


@service(print_contract.version("1.0.0"))
def print_label(data: LabelText) -> Printed:
    """Refuse what has no text."""
    if not data.text:
        raise ValueError("a label needs a text")
    return Printed(label=f"<{data.text}>")


@service(print_contract.version("2.0.0"))
def print_label_2(data: LabelText) -> Printed:
    return Printed(label=f"«{data.text}»")


@service(send_contract.version("1.0.0"), domain="carriers")
def send(data: Printed) -> Carrier:
    return Carrier(carrier="the post")
