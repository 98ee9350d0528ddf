"""Hold an event's `dataschema` against the contract that is to have its type."""

from worker.core.contracts import ContractVersion
from worker.core.events import Event
from worker.core.versions import WILDCARD_VERSION, parse_dataschema


def dataschema_fault(contract: ContractVersion, event: Event, role: str) -> str | None:
    """Say what is wrong if the event names another contract or version; `role` is what the contract is to the reader.

    The wildcard version fits every version; what can't be parsed counts as no dataschema, which fits too.
    """
    named = parse_dataschema(event.dataschema) if event.dataschema else None
    if named is None:
        return None
    uri, version = named
    against = f"does not match Event(dataschema='{event.dataschema}', type='{event.type}')"
    if uri != contract.uri:
        ours = f"{role} Contract(uri='{contract.uri}', type='{contract.type}')"
        return f"Contract URI mismatch: {ours} {against}"
    if version not in (contract.version, WILDCARD_VERSION):
        ours = f"{role} Contract(version='{contract.version}', type='{contract.type}', uri={contract.uri})"
        return f"Contract version mismatch: {ours} {against}"
    return None
