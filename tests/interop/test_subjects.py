"""Subjects mean the same to arvo-core and to the worker, whoever wrote them."""

import json
import re
import zlib
from base64 import b64decode, b64encode
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.interop.cases import ANY_NAMES, ANY_TEXTS, ANY_VERSIONS, COMPARED, KEYS, NAMES, TEXTS, VERSIONS, documents
from tests.interop.node import Peer
from worker.core.errors import InvalidSubjectError
from worker.core.subjects import (
    child_subject,
    decode_document,
    decode_subject,
    encode_document,
    encode_subject,
    root_subject,
)

GENERATED = 300
EXECUTION = "e-1"
URL_SAFE = str.maketrans("-_", "+/")

EXECUTION_IDS = TEXTS.filter(lambda text: text and ";" not in text)
METAS = st.dictionaries(KEYS, TEXTS, max_size=3)
CONTENTS = st.fixed_dictionaries(
    {
        "orchestrator": st.fixed_dictionaries({"name": NAMES, "version": VERSIONS}),
        "execution": st.fixed_dictionaries({"id": EXECUTION_IDS, "initiator": NAMES}),
        "meta": METAS,
    }
)
# All right, or with a few parts that are odd.
ANY_CONTENTS = CONTENTS | documents(
    {
        "orchestrator": (
            documents({"name": (NAMES, ANY_NAMES), "version": (VERSIONS, ANY_VERSIONS)}),
            st.none() | st.just([]) | st.just({}),
        ),
        "execution": (
            documents({"id": (EXECUTION_IDS, ANY_TEXTS | st.integers(0, 9)), "initiator": (NAMES, ANY_NAMES)}),
            st.just({"id": "1"}),
        ),
        "meta": (METAS, st.none() | st.dictionaries(KEYS, st.integers(0, 9), max_size=1)),
        "more": (TEXTS, TEXTS),
    },
    optional=("meta", "more"),
)


def parsed(subject: str) -> dict[str, Any] | None:
    try:
        return decode_document(subject)
    except InvalidSubjectError:
        return None


def made(content: dict[str, Any]) -> str | None:
    try:
        return encode_document(content)
    except InvalidSubjectError:
        return None


@COMPARED
@given(ANY_CONTENTS)
def test_both_write_and_read_the_same_contents(peer: Peer, content: dict[str, Any]) -> None:
    ours = made(content)
    theirs = peer.ask("createSubject", content=content).get("result")
    assert (ours is None) == (theirs is None)
    if ours is not None and theirs is not None:
        assert decode_document(theirs) == content
        assert peer.ask("parseSubject", subject=ours) == {"result": content}


@COMPARED
@given(CONTENTS)
def test_the_worker_s_null_domain_is_read_by_peers_that_know_no_domain(peer: Peer, content: dict[str, Any]) -> None:
    ours = encode_subject(decode_subject(encode_document(content)))
    told = peer.ask("parseSubject", subject=ours)["result"]
    assert told["execution"].pop("domain", "missing") is None
    assert told == content


@COMPARED
@given(NAMES, VERSIONS | st.none(), NAMES, st.none() | METAS)
def test_new_roots_say_the_same(
    peer: Peer, name: str, version: str | None, initiator: str, meta: dict[str, str] | None
) -> None:
    ours = root_subject(name=name, version=version, initiator=initiator, execution_id=EXECUTION, meta=meta)
    theirs = peer.ask("newSubject", orchestator=name, version=version, initiator=initiator, meta=meta)["result"]
    assert without_execution(ours) == without_execution(theirs)


@COMPARED
@given(CONTENTS, NAMES, VERSIONS | st.none(), st.none() | METAS)
def test_new_children_say_the_same(
    peer: Peer, parent: dict[str, Any], name: str, version: str | None, meta: dict[str, str] | None
) -> None:
    above = encode_subject(decode_subject(encode_document(parent)))
    ours = child_subject(above, name=name, version=version, execution_id=EXECUTION, meta=meta)
    theirs = peer.ask("childSubject", subject=above, orchestator=name, version=version, meta=meta)["result"]
    assert without_execution(ours) == without_execution(theirs)


@COMPARED
@given(CONTENTS, st.data())
def test_damaged_subjects_are_refused_by_both(peer: Peer, content: dict[str, Any], data: st.DataObject) -> None:
    subject = encode_document(content)
    place = data.draw(st.integers(0, len(subject) - 1))
    put = data.draw(st.sampled_from(["", "A", "=", "-", " ", "\n", "é", "//", "+"]))
    damaged = subject[:place] + put + subject[place + data.draw(st.integers(0, 2)) :]
    theirs = peer.ask("parseSubject", subject=damaged).get("result")
    assert parsed(damaged) == (None if is_followed(damaged) else theirs)


def is_followed(subject: str) -> bool:
    """Tell whether bytes follow the compressed document: the newest pako ignores them, earlier ones refuse."""
    inflater = zlib.decompressobj()
    try:
        inflater.decompress(
            b64decode(re.sub(r"[^A-Za-z0-9+/]", "", subject.partition("=")[0].translate(URL_SAFE)) + "==")
        )
    except (ValueError, zlib.error):
        return False
    return inflater.unused_data != b""


@COMPARED
@given(CONTENTS, st.sampled_from([0, 1, 9]), st.sampled_from(["zlib", "gzip", "raw"]), st.booleans())
def test_whoever_compressed_it(peer: Peer, content: dict[str, Any], level: int, container: str, url_safe: bool) -> None:
    bits = {"zlib": 15, "gzip": 31, "raw": -15}[container]
    deflater = zlib.compressobj(level, wbits=bits)
    subject = b64encode(deflater.compress(json.dumps(content).encode()) + deflater.flush()).decode()
    if url_safe:
        subject = subject.translate(str.maketrans("+/", "-_")).rstrip("=")
    assert peer.ask("parseSubject", subject=subject).get("result") == parsed(subject)


def test_subjects_that_arvo_core_generates_are_read(peer: Peer, seed: int) -> None:
    for made_there in peer.ask("randomSubjects", seed=seed, count=GENERATED):
        assert decode_document(made_there["subject"]) == made_there["content"]


def without_execution(subject: str) -> dict[str, Any]:
    document = decode_document(subject)
    document["execution"].pop("domain", None)
    assert document["execution"].pop("id")
    return document


class Difference(NamedTuple):
    """A content that arvo-core takes and the worker refuses, and why."""

    reason: str
    changes: dict[str, Any]


DIFFERENCES = [
    Difference("a subject is bounded", {"meta": {"long": "".join(map(chr, range(0x100, 0x4000)))}}),
    Difference("newer peers say that a domain is a text", {"execution": {"domain": 5}}),
    Difference("a lone surrogate is kept nowhere", {"meta": {"half": "\ud800"}}),
]


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.reason)
def test_what_arvo_core_takes_and_the_worker_refuses(peer: Peer, difference: Difference) -> None:
    content = {
        "orchestrator": {"name": "arvo.orc.order", "version": "1.0.0"},
        "execution": {"id": "1", "initiator": "com.example.shop"},
        "meta": {},
    }
    changed = {key: {**part, **difference.changes.get(key, {})} for key, part in content.items()}
    assert "result" in peer.ask("createSubject", content=changed)
    assert made(changed) is None
