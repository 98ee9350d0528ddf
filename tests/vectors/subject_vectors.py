"""Run `subject.json`."""

import zlib
from collections.abc import Iterator
from functools import partial
from typing import Any

from tests.vectors.cases import Case, expect_equal, expect_refused
from worker.core.errors import InvalidSubjectError
from worker.core.json import dumps
from worker.core.subjects import (
    child_subject,
    decode_document,
    decode_subject,
    encode_document,
    encode_subject,
    root_subject,
)

# Other implementations of zlib compress to other bytes, which is allowed.
REFERENCE_ZLIB = zlib.ZLIB_RUNTIME_VERSION.replace(".", "").isdigit()


def cases(document: dict[str, Any]) -> Iterator[Case]:
    """Give the cases of the file."""
    runs = {
        "create": _create,
        "createErrors": _create_refused,
        "new": _new,
        "newErrors": _new_refused,
        "from": _from,
        "fromErrors": _from_refused,
        "raw": _raw,
        "nonString": _raw,
    }
    for section, run in runs.items():
        for vector in document[section]:
            yield Case(section, vector["title"], partial(run, vector))


def _create(vector: dict[str, Any]) -> None:
    expect_equal(dumps(vector["content"]).decode(), vector["json"], "the JSON text")
    subject = encode_document(vector["content"])
    if REFERENCE_ZLIB:
        expect_equal(subject, vector["string"], "the subject")
    expect_equal(decode_document(subject), vector["parsed"])
    expect_equal(decode_document(vector["string"]), vector["parsed"])
    content = decode_subject(vector["string"])
    own = encode_subject(content)
    expect_equal(decode_document(own)["execution"], {**vector["content"]["execution"], "domain": None})
    assert decode_subject(own) == content
    assert list(content.meta) == list(vector["parsed"]["meta"])


def _create_refused(vector: dict[str, Any]) -> None:
    expect_refused(lambda: encode_document(vector["content"]), InvalidSubjectError)


def _new(vector: dict[str, Any]) -> None:
    _expect_content(_root(vector["param"]), vector)


def _new_refused(vector: dict[str, Any]) -> None:
    expect_refused(lambda: _root(vector["param"]), InvalidSubjectError)


def _from(vector: dict[str, Any]) -> None:
    expect_equal(decode_document(vector["param"]["subject"]), vector["parent"], "the parent")
    subject = _child(vector["param"])
    _expect_content(subject, vector)
    assert list(decode_subject(subject).meta) == vector["metaKeyOrder"]


def _from_refused(vector: dict[str, Any]) -> None:
    expect_refused(lambda: _child(vector["param"]), InvalidSubjectError)


def _raw(vector: dict[str, Any]) -> None:
    subject = vector["string"] if "string" in vector else vector["value"]
    if not vector["isValid"]:
        expect_refused(lambda: decode_subject(subject), InvalidSubjectError)
        return
    expect_equal(decode_document(subject), vector["parsed"])
    assert decode_subject(subject).name == vector["parsed"]["orchestrator"]["name"]


def _root(param: dict[str, Any]) -> str:
    return root_subject(
        name=param["orchestator"],
        version=param["version"],
        initiator=param["initiator"],
        execution_id="$uuid4",
        meta=param.get("meta"),
    )


def _child(param: dict[str, Any]) -> str:
    return child_subject(
        param["subject"],
        name=param["orchestator"],
        version=param["version"],
        execution_id="$uuid4",
        meta=param.get("meta"),
    )


def _expect_content(subject: str, vector: dict[str, Any]) -> None:
    content = decode_document(subject)
    assert content["execution"].pop("domain", "missing") is None, "a new subject has to carry a null domain"
    expect_equal(content, vector["content"])
