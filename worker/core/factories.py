"""Events of a contract, made with validated data.

`attributes` are those of `create_event`: `id` and `time` have to be given. An event without a subject starts
something new: its subject is made of `execution_id`.
"""

from collections.abc import Mapping
from typing import Any

from worker.core.arguments import expect
from worker.core.contracts import PARENT_SUBJECT, ContractVersion
from worker.core.errors import InvalidEventError, SetupError
from worker.core.events import ARVO_CONTENT_TYPE, Event, create_event
from worker.core.schemas import SYSTEM_ERROR_SCHEMA, Schema
from worker.core.subjects import child_subject, decode_subject, root_subject


def accepts_event(
    version: ContractVersion,
    attributes: Mapping[str, Any],
    extensions: Mapping[str, Any] | None = None,
    *,
    execution_id: str,
) -> Event:
    """Make the event that the service accepts.

    Raises: InvalidDataError, InvalidEventError, InvalidSubjectError.
    """
    _checked(version)
    given = {**attributes, "type": version.type, "dataschema": version.dataschema}
    return _event(_with_root_subject(version, given, execution_id), version.accepts, extensions)


def emits_event(
    version: ContractVersion,
    attributes: Mapping[str, Any],
    extensions: Mapping[str, Any] | None = None,
    *,
    execution_id: str,
) -> Event:
    """Make an event that the service emits; `attributes["type"]` says which.

    Raises: InvalidDataError, InvalidEventError, InvalidSubjectError; SetupError, for a type that it does not emit.
    """
    schema = _checked(version).emits.get(attributes["type"])
    if schema is None:
        raise SetupError(
            f"The contract {version.dataschema} does not emit {attributes['type']}; it emits "
            f"{', '.join(version.emits) or 'nothing'}."
        )
    given = {**attributes, "dataschema": version.dataschema}
    return _event(_with_root_subject(version, given, execution_id), schema, extensions)


def init_event(
    version: ContractVersion,
    attributes: Mapping[str, Any],
    extensions: Mapping[str, Any] | None = None,
    *,
    execution_id: str,
) -> Event:
    """Make the event that starts an orchestrator, below the parent that `parentSubject$$` names, if any.

    The completion goes to `redirectto`, else to who started the parent.

    Raises: InvalidDataError, InvalidEventError, InvalidSubjectError; SetupError, for another kind of contract.
    """
    _require_orchestrator(version)
    data = version.accepts.validate(_data(attributes))
    parent = data.get(PARENT_SUBJECT)
    given = {**attributes, "data": data}
    if parent is not None and attributes.get("subject") is None:
        given["subject"] = _child_of(version, parent, attributes.get("redirectto"), execution_id)
    return accepts_event(version, given, extensions, execution_id=execution_id)


def complete_event(
    version: ContractVersion,
    attributes: Mapping[str, Any],
    extensions: Mapping[str, Any] | None = None,
    *,
    execution_id: str,
) -> Event:
    """Make the event that an orchestrator completes with.

    Raises: InvalidDataError, InvalidEventError, InvalidSubjectError; SetupError, for another kind of contract.
    """
    given = {**attributes, "type": _require_orchestrator(version)}
    return emits_event(version, given, extensions, execution_id=execution_id)


def system_error_event(
    version: ContractVersion,
    attributes: Mapping[str, Any],
    extensions: Mapping[str, Any] | None = None,
    *,
    execution_id: str,
) -> Event:
    """Make the event that tells of a failure; its data is that of `system_error_data`.

    Raises: InvalidDataError, InvalidEventError, InvalidSubjectError.
    """
    _checked(version)
    given = {**attributes, "type": version.system_error_type, "dataschema": version.system_error_dataschema}
    return _event(_with_root_subject(version, given, execution_id), SYSTEM_ERROR_SCHEMA, extensions)


def system_error_data(name: str, message: str, stack: str | None = None) -> dict[str, Any]:
    """Give the data of a system error event."""
    return {"errorName": name, "errorMessage": message, "errorStack": stack}


def _checked(version: ContractVersion) -> ContractVersion:
    return expect(version, ContractVersion, "the contract", 'a version of one, as `order.version("1.0.0")` gives it')


def _event(attributes: Mapping[str, Any], schema: Schema, extensions: Mapping[str, Any] | None) -> Event:
    data = schema.validate(_data(attributes))
    return create_event({**attributes, "datacontenttype": ARVO_CONTENT_TYPE, "data": data}, extensions)


def _data(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    data = attributes.get("data")
    if not isinstance(data, Mapping):
        raise InvalidEventError("The event has no data; expected a JSON object.", ("data",))
    return data


def _with_root_subject(version: ContractVersion, attributes: Mapping[str, Any], execution_id: str) -> Mapping[str, Any]:
    if attributes.get("subject") is not None:
        return attributes
    redirectto = attributes.get("redirectto")
    subject = root_subject(
        name=attributes["type"],
        version=version.version,
        initiator=attributes.get("source", ""),
        execution_id=execution_id,
        meta=_redirected(redirectto),
    )
    return {**attributes, "subject": subject}


def _child_of(version: ContractVersion, parent: str, redirectto: str | None, execution_id: str) -> str:
    return child_subject(
        parent,
        name=version.type,
        version=version.version,
        execution_id=execution_id,
        meta=_redirected(decode_subject(parent).initiator if redirectto is None else redirectto),
    )


def _redirected(receiver: str | None) -> Mapping[str, str]:
    """Say in a subject who gets the completion; an empty receiver says nothing, so a parent's own stands."""
    return {"redirectto": receiver} if receiver else {}


def _require_orchestrator(version: ContractVersion) -> str:
    _checked(version)
    if version.complete_type is None:
        raise SetupError(
            f"The contract {version.dataschema} is not an orchestrator's; use accepts_event and emits_event, "
            "or declare it with create_orchestrator_contract."
        )
    return version.complete_type
