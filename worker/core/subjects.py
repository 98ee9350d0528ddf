"""Subjects: the names of workflow instances, and what is written in them.

A subject is base64 of zlib of a JSON document. One that exists is never encoded again, since other bytes would be
another name.
"""

import binascii
import re
import zlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from worker.core.errors import InvalidSubjectError
from worker.core.event_rules import REVERSE_DNS, is_reverse_dns
from worker.core.frozen import maker_of
from worker.core.json import dumps, loads
from worker.core.versions import VERSION, WILDCARD_VERSION, is_valid_version

SUBJECT_CHARACTERS_MAX: Final = 4 * 1024
SUBJECT_DOCUMENT_BYTES_MAX: Final = 64 * 1024

# What was read last is remembered: an instance's events come one soon after the other.
# The bounds together bound the memory: a short subject may hold a large document, but not a plain one.
_REMEMBERED_MAX: Final = 512
_PLAIN_REMEMBERED_MAX: Final = 8 * 1024
_SHORT: Final = 512
_PLAIN_BYTES_MAX: Final = 1024

_ZLIB_LEVEL: Final = 6
_ZLIB_OR_GZIP: Final = zlib.MAX_WBITS + 32
_NO_BASE64: Final = re.compile(r"[^A-Za-z0-9+/]")
_URL_SAFE: Final = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True)
class SubjectContent:
    """What a subject says: the orchestrator's name and version, the execution, and texts carried along.

    `initiator` is who started the execution; `meta["redirectto"]`, if there, is who gets its completion.
    """

    name: str
    version: str
    execution_id: str
    initiator: str
    domain: str | None = None
    meta: Mapping[str, str] = field(default_factory=dict)


_made: Final = maker_of(SubjectContent)

_PLAIN_NAME: Final = f"({REVERSE_DNS.pattern})"
_PLAIN: Final = re.compile(
    rf'{{"orchestrator":{{"name":"{_PLAIN_NAME}","version":"({VERSION.pattern})"}},'
    r'"execution":{"id":"([^;"\\\x00-\x1f]+)",'
    rf'"initiator":"{_PLAIN_NAME}"'
    r'(?:,"domain":(?:null|"([^"\\\x00-\x1f]*)"))?},"meta":(?:{}|({.+}))}'
)
"""A document without anything unlisted or escaped; what is in its `meta` is left to be read."""


def decode_subject(subject: object) -> SubjectContent:
    """Read a subject. Raises: InvalidSubjectError."""
    if isinstance(subject, str) and len(subject) <= _SHORT:
        return _decode_plain(subject) or _decode_short(subject)
    return _decode(subject)


@lru_cache(_PLAIN_REMEMBERED_MAX)
def _decode_plain(subject: str) -> SubjectContent | None:
    """Read a subject whose document is written as peers write it; nothing, if it is another."""
    raw = _inflate(_from_base64(subject))
    if len(raw) > _PLAIN_BYTES_MAX:
        return None
    try:
        found = _PLAIN.fullmatch(raw.decode())
        if found is None:
            return None
        name, version, execution_id, initiator, domain, meta = found.groups()
        carried = loads(meta) if meta else {}
    except ValueError:
        return None
    if carried and not all(isinstance(value, str) for value in carried.values()):
        return None
    return _made(name, version, execution_id, initiator, domain, carried)


def _decode(subject: object) -> SubjectContent:
    document = decode_document(subject)
    orchestrator, execution = document["orchestrator"], document["execution"]
    return SubjectContent(
        name=orchestrator["name"],
        version=orchestrator["version"],
        execution_id=execution["id"],
        initiator=execution["initiator"],
        domain=execution.get("domain"),
        meta=document["meta"],
    )


_decode_short = lru_cache(_REMEMBERED_MAX)(_decode)


def encode_subject(content: SubjectContent) -> str:
    """Write a subject, with `domain` in any case, so that peers of both generations read it.

    Raises: InvalidSubjectError.
    """
    return encode_document(
        {
            "orchestrator": {"name": content.name, "version": content.version},
            "execution": {"id": content.execution_id, "initiator": content.initiator, "domain": content.domain},
            "meta": dict(content.meta),
        }
    )


def root_subject(
    *, name: str, version: str | None, initiator: str, execution_id: str, meta: Mapping[str, str] | None = None
) -> str:
    """Name a new instance that nothing stands above; no version means the wildcard. Raises: InvalidSubjectError."""
    return encode_subject(
        SubjectContent(name, version or WILDCARD_VERSION, execution_id, initiator, meta=dict(meta or {}))
    )


def child_subject(
    parent: str, *, name: str, version: str | None, execution_id: str, meta: Mapping[str, str] | None = None
) -> str:
    """Name a new instance that `parent` started and whose meta it inherits; own keys override.

    Raises: InvalidSubjectError, also if the parent can't be decoded.
    """
    above = decode_subject(parent)
    return root_subject(
        name=name,
        version=version,
        initiator=above.name,
        execution_id=execution_id,
        meta={**above.meta, **(meta or {})},
    )


def encode_document(document: Mapping[str, Any]) -> str:
    """Write a subject's document as it is, unlisted keys included. Raises: InvalidSubjectError."""
    _check_document(document)
    try:
        raw = dumps(document)
    except ValueError as error:
        raise InvalidSubjectError("The subject can't be written: its content is no JSON.") from error
    subject = b64encode(zlib.compress(raw, _ZLIB_LEVEL)).decode("ascii")
    if len(raw) > SUBJECT_DOCUMENT_BYTES_MAX or len(subject) > SUBJECT_CHARACTERS_MAX:
        raise InvalidSubjectError(
            f"The subject can't be written: it would have {len(subject)} characters and a document of {len(raw)} "
            f"bytes; at most {SUBJECT_CHARACTERS_MAX} and {SUBJECT_DOCUMENT_BYTES_MAX} are read. Put less into meta."
        )
    return subject


def decode_document(subject: object) -> dict[str, Any]:
    """Read a subject's document as it is, unlisted keys included. Raises: InvalidSubjectError."""
    if not isinstance(subject, str):
        raise InvalidSubjectError(f"The subject can't be read: expected a text, got {type(subject).__name__}.")
    if len(subject) > SUBJECT_CHARACTERS_MAX:
        raise InvalidSubjectError(
            f"The subject can't be read: it has {len(subject)} characters; at most {SUBJECT_CHARACTERS_MAX} are read."
        )
    # Peers' decoders replace broken UTF-8 and drop a byte order mark.
    text = _inflate(_from_base64(subject)).decode("utf-8", errors="replace").removeprefix("\ufeff")
    try:
        document = loads(text)
    except ValueError as error:
        raise InvalidSubjectError("The subject can't be read: it does not hold JSON.") from error
    return _check_document(document)


def _from_base64(text: str) -> bytes:
    """Decode as Node's Buffer does: both alphabets, padding or not, foreign characters skipped, done at a `=`."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return _from_loose_base64(text)


def _from_loose_base64(text: str) -> bytes:
    digits = _NO_BASE64.sub("", text.partition("=")[0].translate(_URL_SAFE))
    if len(digits) % 4 == 1:
        digits = digits[:-1]
    return binascii.a2b_base64(digits + "=" * (-len(digits) % 4))


def _inflate(compressed: bytes) -> bytes:
    inflater = zlib.decompressobj(_ZLIB_OR_GZIP)
    try:
        raw = inflater.decompress(compressed, SUBJECT_DOCUMENT_BYTES_MAX + 1)
    except zlib.error as error:
        raise InvalidSubjectError("The subject can't be read: it is no base64 of zlib or gzip data.") from error
    if len(raw) > SUBJECT_DOCUMENT_BYTES_MAX:
        raise InvalidSubjectError(
            f"The subject can't be read: it inflates past {SUBJECT_DOCUMENT_BYTES_MAX} bytes, the most that is allowed."
        )
    if not inflater.eof or inflater.unused_data:
        raise InvalidSubjectError("The subject can't be read: its zlib data is cut off, or something follows it.")
    return raw


def _check_document(document: object) -> dict[str, Any]:
    root = _object(document, "content")
    orchestrator = _object(root.get("orchestrator"), "orchestrator")
    execution = _object(root.get("execution"), "execution")
    meta = _object(root.get("meta"), "meta")
    _expect(_is_name(orchestrator.get("name")), "orchestrator.name", "a reverse-DNS name of at least three parts")
    _expect(_is_version(orchestrator.get("version")), "orchestrator.version", "three numbers, as 1.0.0")
    _expect(_is_id(execution.get("id")), "execution.id", "a non-empty text without semicolon")
    _expect(_is_name(execution.get("initiator")), "execution.initiator", "a reverse-DNS name of at least three parts")
    _expect(_is_domain(execution.get("domain")), "execution.domain", "a text or null")
    _expect(all(isinstance(value, str) for value in meta.values()), "meta", "an object of texts")
    return root


def _object(value: object, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidSubjectError(f"The subject's {place} is wrong: expected an object.")
    return value


def _expect(condition: bool, place: str, expected: str) -> None:  # noqa: FBT001 - a check reads best this way
    if not condition:
        raise InvalidSubjectError(f"The subject's {place} is wrong: expected {expected}.")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and is_reverse_dns(value)


def _is_version(value: object) -> bool:
    return isinstance(value, str) and is_valid_version(value)


def _is_domain(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and value != "" and ";" not in value
