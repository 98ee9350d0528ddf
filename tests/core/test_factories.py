"""What the factories write into the subjects of what they start."""

import pytest
from pydantic import BaseModel

from worker.core.contracts import create_orchestrator_contract
from worker.core.factories import init_event
from worker.core.subjects import decode_subject, root_subject


class Start(BaseModel):
    pass


CONTRACT = create_orchestrator_contract(
    uri="#/orc/count", name="count", versions={"1.0.0": {"init": Start, "complete": Start}}
).version("1.0.0")


@pytest.mark.parametrize(
    ("redirectto", "meta", "expected"),
    [
        (None, {}, "com.test.user"),
        ("com.test.desk", {}, "com.test.desk"),
        ("com.test.desk", {"redirectto": "com.test.other"}, "com.test.desk"),
        ("", {}, None),
        ("", {"redirectto": "com.test.other"}, "com.test.other"),
    ],
)
def test_who_gets_the_completion_of_a_child(redirectto: str | None, meta: dict[str, str], expected: str | None) -> None:
    parent = root_subject(
        name="arvo.orc.parent", version="1.0.0", initiator="com.test.user", execution_id="1", meta=meta
    )
    event = init_event(
        CONTRACT,
        {
            "id": "1",
            "source": "arvo.orc.parent",
            "redirectto": redirectto,
            "data": {"parentSubject$$": parent},
            "time": "2026-01-01T00:00:00Z",
        },
        execution_id="2",
    )
    assert decode_subject(event.subject).meta.get("redirectto") == expected
