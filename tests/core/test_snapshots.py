from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.engine.charts import as_jsonb_gives_it
from tests.core.engine.test_values import JSON_VALUES
from worker.core.engine.api import Snapshot
from worker.core.snapshots import decode_snapshot, encode_snapshot


def snapshot(value: Any = 1, *, output: dict[str, Any] | None = None) -> Snapshot:
    return Snapshot(
        configuration=("root", "a"),
        context={"value": value},
        init={"given": value},
        history={"h": ("a", "b")},
        remembered={"a": {"value": value}},
        output=output,
    )


@given(JSON_VALUES)
def test_comes_back_as_it_was(value: Any) -> None:
    before = snapshot(value, output={"value": value})
    assert decode_snapshot(encode_snapshot(before)) == before


def test_the_order_of_keys_is_of_no_account() -> None:
    document = orjson.loads(encode_snapshot(snapshot()))
    assert decode_snapshot(dict(reversed(document.items()))) == snapshot()


# What the text of a snapshot has between its parts, within its parts.
ODD_KEYS = st.sampled_from(["configuration", "context", "history", "init", "output", 'a"', '}, "context": {'])
ODD_OBJECTS = st.dictionaries(
    ODD_KEYS,
    st.recursive(
        JSON_VALUES | ODD_KEYS,
        lambda inner: st.dictionaries(ODD_KEYS, inner, max_size=4) | st.lists(inner, max_size=3),
        max_leaves=12,
    ),
    max_size=4,
)
SNAPSHOTS = st.builds(
    Snapshot,
    st.lists(ODD_KEYS, max_size=3).map(tuple),
    ODD_OBJECTS,
    ODD_OBJECTS,
    st.just({}) | st.dictionaries(ODD_KEYS, st.lists(ODD_KEYS, max_size=2).map(tuple), max_size=2),
    st.just({}) | st.dictionaries(ODD_KEYS, ODD_OBJECTS, max_size=2),
    st.none() | ODD_OBJECTS,
)


@pytest.mark.parametrize("form", [bytes, bytes.decode])
@given(before=SNAPSHOTS)
def test_comes_back_from_jsonb_as_it_was(form: Callable[[bytes], bytes | str], before: Snapshot) -> None:
    text = as_jsonb_gives_it(encode_snapshot(before))
    once = decode_snapshot(form(text))
    assert once == before
    assert as_jsonb_gives_it(encode_snapshot(once)) == text


def test_the_init_data_of_a_row_are_kept_as_text() -> None:
    plain = Snapshot(("root",), {"b": 1}, {"a": [1, 2]})
    assert decode_snapshot(as_jsonb_gives_it(encode_snapshot(plain))).init.text == b'{"a": [1, 2]}'  # type: ignore[attr-defined]
    assert decode_snapshot(encode_snapshot(plain)).init == {"a": [1, 2]}


@pytest.mark.parametrize(
    "damaged",
    [
        b'{"init": {}, "context": {}}',
        b'{"init": {}, "context": {}, "configuration": 1}',
        b'{"init": {}, "configuration": []}',
        b'{"init": {}, "context": {"a": 1, "configuration": []}}',
        b'{"init": {"a": 1, "context": {}}, "configuration": []}',
        b'{"init": {}, "context": {}, "configuration": [',
    ],
)
def test_refuses_damage_of_a_row(damaged: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_snapshot(damaged)


def test_empty_parts_are_left_out() -> None:
    assert encode_snapshot(Snapshot(("root",), {}, {})) == b'{"configuration":["root"],"context":{},"init":{}}'


@pytest.mark.parametrize("value", [1e16, -1e20, 1.5e300, 2.0**63])
def test_large_floats_stay_floats_in_jsonb(value: float) -> None:
    # JSONB writes numerics without an exponent; only the fraction says that it was a float.
    text = encode_snapshot(snapshot(value))
    assert f'"value":{value:.1f}'.encode() in text
    assert type(decode_snapshot(text).context["value"]) is float
    assert decode_snapshot(text) == snapshot(value)


@pytest.mark.parametrize("damaged", [b"{}", b"[]", b'{"configuration":1,"context":{},"init":{}}', b"no"])
def test_refuses_damage(damaged: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_snapshot(damaged)
