"""Hypothesis strategies for what the core takes."""

from typing import Any

from hypothesis import strategies as st

from worker.core.events import ARVO_CONTENT_TYPE, Event, create_event

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
FILLED_TEXTS = TEXTS.filter(bool)
INTEGERS = st.integers(-(2**63), 2**64 - 1)
NUMBERS = INTEGERS | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
JSON_VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)
JSON_OBJECTS = st.dictionaries(TEXTS, JSON_VALUES, max_size=5)
TYPES = st.lists(st.text("abcz019", min_size=1, max_size=4), min_size=3, max_size=5).map(".".join)
TIMES = st.datetimes().map(lambda moment: moment.isoformat(timespec="milliseconds") + "Z")
EXTENSION_NAMES = st.from_regex(r"\Ax[a-z0-9]{0,6}\Z")

CONTENT_TYPES = (
    ARVO_CONTENT_TYPE,
    "application/cloudevents+json",
    " application/cloudevents+json ;a=b",
    "application/json",
    "application/json; a=b",
)


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Draw valid events, with every attribute now there and now not."""
    attributes: dict[str, Any] = {
        "id": draw(FILLED_TEXTS),
        "source": draw(FILLED_TEXTS),
        "type": draw(TYPES),
        "subject": draw(FILLED_TEXTS),
        "data": draw(JSON_OBJECTS),
        "time": draw(TIMES),
        "datacontenttype": draw(st.sampled_from(CONTENT_TYPES)),
        "executionunits": draw(st.none() | NUMBERS),
    }
    for name in ("to", "dataschema", "redirectto", "accesscontrol", "parentid", "traceparent", "tracestate", "domain"):
        attributes[name] = draw(st.none() | FILLED_TEXTS)
    return create_event(attributes, draw(st.dictionaries(EXTENSION_NAMES, SCALARS, max_size=3)))
