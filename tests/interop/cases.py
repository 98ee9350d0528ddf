"""Cases that hypothesis makes for both sides, and how much of them there is.

JavaScript keeps integers up to 2^53 alone and reads `__proto__` as no key of a record: such cases stand in tables of
their own, and not here.
"""

import os
from collections.abc import Collection, Mapping
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from worker.core.codec import decode_record
from worker.core.events import Event

SEED_VARIABLE: Final = "INTEROP_SEED"

COMPARED: Final = settings(
    max_examples=100,
    deadline=None,  # Another process answers.
    # The same cases in each run, unless a seed asks for others (with --hypothesis-seed for those of hypothesis).
    derandomize=SEED_VARIABLE not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

SAFE_INTEGER: Final = 2**53
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
ODD_TEXTS = st.sampled_from(
    ["", " ", "%", "%20", "a b", "é", "😀", ";", "\n", "a.b.c", "A.b.c", "1.0", "#/x/1.0.0", "5"]
)
ANY_TEXTS = TEXTS | ODD_TEXTS
NUMBERS = st.integers(-SAFE_INTEGER, SAFE_INTEGER) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
KEYS = TEXTS.filter(lambda key: key != "__proto__")
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
OBJECTS = st.dictionaries(KEYS, JSON, max_size=3)
LABELS = st.text("abz059", min_size=1, max_size=3)
NAMES = st.lists(LABELS, min_size=3, max_size=5).map(".".join)
ODD_LABELS = st.sampled_from(["", "A", "-", "a-b", "a_b", "a b", "é", "a;", "١"])
ANY_NAMES = NAMES | st.lists(LABELS | LABELS | ODD_LABELS, max_size=5).map(".".join)
VERSIONS = st.tuples(*[st.integers(0, 300)] * 3).map(lambda parts: ".".join(map(str, parts)))
ANY_VERSIONS = VERSIONS | st.sampled_from(
    ["0.0.0", "1.0", "1.0.0.0", "v1.0.0", "01.002.3", "1.0.0-rc", "", "a.b.c", "١.0.0"]
)


Member = tuple[st.SearchStrategy[Any], st.SearchStrategy[Any]]
"""What a member of a document is when it is right, and when it is odd."""

FAULTS_MAX: Final = 2


@st.composite
def documents(draw: st.DrawFn, members: Mapping[str, Member], optional: Collection[str] = ()) -> dict[str, Any]:
    """Draw documents that are right but for a few members, so that both verdicts come up often."""
    odd = draw(st.sets(st.sampled_from(sorted(members)), max_size=FAULTS_MAX))
    names = [name for name in members if name not in optional or draw(st.booleans())]
    return {name: draw(members[name][name in odd]) for name in names}


def same(ours: Any, theirs: Any) -> bool:
    """Tell whether two JSON values are one to JavaScript: numbers as doubles, keys in any order."""
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)):
        return float(ours) == float(theirs)
    return bool(ours == theirs)


def received(message: dict[str, Any]) -> Event:
    """Read a record that the peer would send with kafkajs."""
    headers = tuple((name, value.encode()) for name, value in message["headers"].items())
    return decode_record(message["value"].encode(), headers)
