from typing import Any

import orjson
import pytest
from hypothesis import given

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
