"""Rules for instances that ended: as they are written, and what they come to."""

import pytest

from worker.core.retention import KEPT, Deed, Retention, Rule, retention_of


def test_what_is_written_for_all_and_for_one_machine() -> None:
    retention = retention_of(["archive:30", "arvo.orc.order=remove:90", "arvo.orc.audit=keep"])
    assert retention == Retention(
        Rule(Deed.ARCHIVE, 30), {"arvo.orc.order": Rule(Deed.REMOVE, 90), "arvo.orc.audit": KEPT}
    )
    assert retention.shortest_days == 30
    assert (retention.archives, retention.keeps_all) == (True, False)


@pytest.mark.parametrize("texts", [[], ["keep"], ["keep", "a.b=keep"]])
def test_all_are_kept_where_no_rule_says_otherwise(texts: list[str]) -> None:
    retention = retention_of(texts)
    assert retention.default == KEPT
    assert (retention.archives, retention.keeps_all, retention.shortest_days) == (False, True, None)


def test_a_rule_for_one_machine_leaves_the_others() -> None:
    retention = retention_of(["a.b=remove:7"])
    assert retention.default == KEPT
    assert (retention.archives, retention.keeps_all, retention.shortest_days) == (False, False, 7)


@pytest.mark.parametrize(
    "text", ["", "remove", "remove:", "remove:-1", "remove:1.5", "archive:x", "drop:7", "A=keep", "=keep", "keep:7"]
)
def test_what_is_no_rule(text: str) -> None:
    with pytest.raises(ValueError, match="expected keep, remove:DAYS or archive:DAYS") as raised:
        retention_of([text])
    assert not text or f" {text} " not in str(raised.value)


@pytest.mark.parametrize(
    ("texts", "whose"), [(["keep", "remove:7"], "all machines"), (["a=keep", "a=remove:7"], "one machine")]
)
def test_two_rules_for_the_same(texts: list[str], whose: str) -> None:
    with pytest.raises(ValueError, match=f"two rules for {whose}"):
        retention_of(texts)
