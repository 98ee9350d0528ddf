import base64
import json
import zlib
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.core.strategies import FILLED_TEXTS, TEXTS, TYPES
from worker.core.errors import InvalidSubjectError
from worker.core.json import dumps
from worker.core.subjects import (
    SUBJECT_CHARACTERS_MAX,
    SUBJECT_DOCUMENT_BYTES_MAX,
    SubjectContent,
    _decode_plain,
    child_subject,
    decode_document,
    decode_subject,
    encode_subject,
    root_subject,
)
from worker.core.uris import is_encoded_uri

CONTENTS = st.builds(
    SubjectContent,
    name=TYPES,
    version=st.sampled_from(("1.0.0", "0.0.0", "10.20.30")),
    execution_id=FILLED_TEXTS.filter(lambda text: ";" not in text),
    initiator=TYPES,
    domain=st.none() | TEXTS,
    meta=st.dictionaries(TEXTS, TEXTS, max_size=3),
)
CONTENT = SubjectContent("arvo.orc.order", "1.0.0", "execution-1", "com.example.shop")


def packed(raw: bytes) -> str:
    return base64.b64encode(zlib.compress(raw, 9)).decode()


def document(**execution: object) -> dict[str, object]:
    return {
        "orchestrator": {"name": "arvo.orc.order", "version": "1.0.0"},
        "execution": {"id": "execution-1", "initiator": "com.example.shop", **execution},
        "meta": {},
    }


@given(CONTENTS)
def test_a_subject_says_what_was_written(content: SubjectContent) -> None:
    subject = encode_subject(content)
    assert decode_subject(subject) == content
    assert list(decode_subject(subject).meta) == list(content.meta)
    assert is_encoded_uri(subject)


@given(st.text(max_size=40) | st.binary(max_size=60).map(packed) | st.binary(max_size=60).map(base64.b64encode))
def test_anything_is_a_subject_or_invalid(subject: object) -> None:
    try:
        content = decode_subject(subject)
    except InvalidSubjectError:
        return
    assert decode_subject(encode_subject(content)) == content


ODD = st.sampled_from(["", "a;b", 'a"b', "a\\b", "é", "a\nb", "\x7f", "\u2028", "a.b", "a.b.c\n", "1.0.0\n", None, 5])
NAMES = st.just("a.b.c") | TYPES
DOCUMENTS = st.fixed_dictionaries(
    {
        "orchestrator": st.fixed_dictionaries({"name": NAMES | ODD, "version": st.sampled_from(("1.0.0", "1.0", 1))}),
        "execution": st.fixed_dictionaries(
            {"id": st.just("e") | ODD, "initiator": NAMES | ODD}, optional={"domain": st.none() | st.just("d") | ODD}
        ),
        "meta": st.dictionaries(FILLED_TEXTS, st.just("m") | ODD, max_size=2),
    }
)
CHANGES = st.sampled_from(
    [
        (b"", b""),
        (b"{", b"\xef\xbb\xbf{"),
        (b":", b" :"),
        (b'"meta":{', b'"meta":{"redirectto":"com.example.other"'),
        (b'"meta":{', b'"meta":{"a":"1","a":"2"'),
        (b'"meta":{', b'"meta":{"a":"1"},"x":{"b":"2"'),
        (b'"execution"', b'"more":1,"execution"'),
        (b'"id":"e', b'"id":"\xff'),
        (b'"id":"e', b'"id":"\\u0065'),
        (b'"id":"e', b'"id":"\x1f'),
        (b'"id":"e', b'"id":"' + b"e" * 1024),
        (b'"name"', b'"version":"1.0.0","name"'),
    ]
)


@settings(max_examples=400)
@example({**document(), "meta": {"a": 5}}, (b"", b""), False)
@example({**document(), "meta": {"a": "b", "c": None}}, (b"", b""), False)
@given(DOCUMENTS, CHANGES, st.booleans())
def test_a_glance_reads_nothing_but_what_a_close_look_reads(
    document: dict[str, object], change: tuple[bytes, bytes], escaped: bool
) -> None:
    raw = json.dumps(document, separators=(",", ":"), ensure_ascii=escaped).encode().replace(*change, 1)

    def came_of_it() -> object:
        try:
            return decode_subject(packed(raw))
        except InvalidSubjectError as error:
            return str(error)

    at_a_glance = came_of_it()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("worker.core.subjects._decode_plain", lambda _: None)
        assert at_a_glance == came_of_it()


def test_what_peers_write_is_read_at_a_glance() -> None:
    for content in (CONTENT, replace(CONTENT, domain="orders", meta={"redirectto": "com.example.é", "b": ""})):
        assert _decode_plain(encode_subject(content)) == content
    assert _decode_plain(packed(dumps(document()))) == CONTENT
    assert _decode_plain(packed(b" " + dumps(document()))) is None


def test_the_domain_is_written_even_if_there_is_none() -> None:
    assert decode_document(encode_subject(CONTENT))["execution"] == {
        "id": "execution-1",
        "initiator": "com.example.shop",
        "domain": None,
    }


def test_both_generations_of_peers_are_read() -> None:
    assert decode_subject(packed(dumps(document()))) == CONTENT
    assert decode_subject(packed(dumps(document(domain=None)))) == CONTENT
    assert decode_subject(packed(dumps(document(domain="orders")))).domain == "orders"
    with pytest.raises(InvalidSubjectError, match=r"execution\.domain"):
        decode_subject(packed(dumps(document(domain=5))))


def test_a_child_is_started_by_its_parent_and_inherits_meta() -> None:
    parent = root_subject(
        name="arvo.orc.order",
        version="2.0.0",
        initiator="com.example.shop",
        execution_id="1",
        meta={"redirectto": "com.example.reply", "tenant": "a"},
    )
    child = child_subject(
        parent,
        name="arvo.orc.payment",
        version=None,
        execution_id="2",
        meta={"extra": "x", "redirectto": "arvo.orc.order"},
    )
    assert decode_subject(child) == SubjectContent(
        "arvo.orc.payment",
        "0.0.0",
        "2",
        "arvo.orc.order",
        meta={"redirectto": "arvo.orc.order", "tenant": "a", "extra": "x"},
    )
    assert list(decode_subject(child).meta) == ["redirectto", "tenant", "extra"]


def test_a_subject_that_is_too_long_is_refused() -> None:
    with pytest.raises(InvalidSubjectError, match="4097 characters"):
        decode_subject("A" * (SUBJECT_CHARACTERS_MAX + 1))


def test_what_would_be_too_long_is_not_written() -> None:
    noise = "".join(chr(0x4E00 + (index * 7919) % 20_000) for index in range(4000))
    with pytest.raises(InvalidSubjectError, match="Put less into meta"):
        encode_subject(SubjectContent("a.b.c", "1.0.0", "1", "a.b.c", meta={"noise": noise}))


@pytest.mark.parametrize("size", [SUBJECT_DOCUMENT_BYTES_MAX + 1, 3_000_000])
def test_a_subject_that_inflates_too_far_is_refused(size: int) -> None:
    bomb = packed(b" " * size)
    assert len(bomb) <= SUBJECT_CHARACTERS_MAX
    with pytest.raises(InvalidSubjectError, match="inflates past"):
        decode_subject(bomb)


def test_a_subject_that_inflates_just_far_enough_is_read() -> None:
    raw = dumps(document())
    assert decode_subject(packed(raw + b" " * (SUBJECT_DOCUMENT_BYTES_MAX - len(raw)))) == CONTENT
    with pytest.raises(InvalidSubjectError):
        decode_subject(packed(raw + b" " * (SUBJECT_DOCUMENT_BYTES_MAX - len(raw) + 1)))


def test_errors_tell_no_data() -> None:
    with pytest.raises(InvalidSubjectError) as caught:
        decode_subject(packed(dumps(document(id="secret;"))))
    assert "secret" not in str(caught.value)
