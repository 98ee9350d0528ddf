"""What spans say of events, under the names that the reference gives.

Source: `otelAttributes` of arvo-core's ArvoEvent.
"""

from typing import Final

from worker.core.events import SPECVERSION, Event

_NONE: Final = "N/A"


def event_attributes(event: Event, prefix: str = "") -> dict[str, str | float]:
    """Give the attributes of an event but its data and extensions; what it has not got is `N/A`."""
    given: dict[str, str | float | None] = {
        "event_id": event.id,
        "event_source": event.source,
        "event_spec_version": SPECVERSION,
        "event_subject": event.subject,
        "event_type": event.type,
        "event_time": event.time,
        "event_datacontenttype": event.datacontenttype,
        "event_dataschema": event.dataschema,
        "arvo.event_redirectto": event.redirectto,
        "arvo.event_to": event.to,
        "arvo.event_executionunits": None if event.executionunits is None else float(event.executionunits),
        "arvo.event_parentid": event.parentid,
    }
    return {f"{prefix}cloudevents.{name}": _NONE if value is None else value for name, value in given.items()}
