"""What versions from 0.1 on have stored is read as it was meant, for ever: these texts are theirs, never made anew."""

from typing import Final

import pytest

from worker.adapters.postgres.frames import unpack_emitted, unpack_headers, unpack_outputs
from worker.core.engine.api import Snapshot
from worker.core.records import Output
from worker.core.snapshots import decode_snapshot

SNAPSHOTS: Final = {
    '{"init": {"order_id": "A-1"}, "context": {"paid": 12.5, "tries": 3}, "configuration": ["order", "reserving"]}': (
        Snapshot(("order", "reserving"), {"paid": 12.5, "tries": 3}, {"order_id": "A-1"})
    ),
    '{"init": {}, "context": {}, "history": {"resume": ["a", "b"]}, "configuration": ["top", "a"]}': (
        Snapshot(("top", "a"), {}, {}, {"resume": ("a", "b")})
    ),
    '{"init": {}, "output": {"ok": true}, "context": {"n": 1}, "configuration": []}': (
        Snapshot((), {"n": 1}, {}, {}, {}, {"ok": True})
    ),
    '{"init": {}, "context": {}, "remembered": {"state:a": {"n": 1}}, "configuration": ["a"]}': (
        Snapshot(("a",), {}, {}, {}, {"state:a": {"n": 1}})
    ),
}
HEADERS: Final = b'[["ce_id","1"],["raw",{"base64":"/wA="}],["none",null]]'
OUTPUTS: Final = b'[{"topic":"orchestrator.default","key":"s","value":"{}","headers":[["ce_id","2"]]}]'
EMITTED: Final = (
    b'[{"domains":["default","external"],"event":{"specversion":"1.0","id":"e-1","source":"arvo.orc.order",'
    b'"type":"com.pay.requested","subject":"s","time":"2026-01-02T03:04:05.678+00:00","data":{"amount":1}}}]'
)


@pytest.mark.parametrize("text", SNAPSHOTS)
def test_snapshots(text: str) -> None:
    expected, found = SNAPSHOTS[text], decode_snapshot(text)
    assert found.configuration == expected.configuration
    assert dict(found.context) == dict(expected.context)
    assert dict(found.init) == dict(expected.init)
    assert (found.history, found.remembered, found.output) == (expected.history, expected.remembered, expected.output)


def test_headers_of_the_journal() -> None:
    assert unpack_headers(HEADERS) == (("ce_id", b"1"), ("raw", b"\xff\0"), ("none", None))


def test_outputs_of_the_journal() -> None:
    assert unpack_outputs(OUTPUTS) == (Output("orchestrator.default", b"s", b"{}", (("ce_id", b"2"),)),)


def test_emitted_events_of_the_library() -> None:
    (emitted,) = unpack_emitted(EMITTED)
    assert emitted.domains == ("default", "external")
    assert (emitted.event.id, emitted.event.type, emitted.event.data) == ("e-1", "com.pay.requested", {"amount": 1})
