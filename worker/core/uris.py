"""URI text as JavaScript's `encodeURI` and `decodeURI` see it, since peers check it with those."""

import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

_KEPT: Final = ";/?:@&=+$,#-_.!~*'()"
ONLY_KEPT: Final = re.compile(r"[A-Za-z0-9;/?:@&=+$,#\-_.!~*'()]*")
"""Matches a text in which nothing has to be escaped."""


def encode_uri(text: str) -> str:
    """Escape what `encodeURI` escapes; a percent sign is escaped again. Raises: ValueError, for lone surrogates.

    Source: ECMA-262, encodeURI.
    """
    return text if ONLY_KEPT.fullmatch(text) else quote(text, safe=_KEPT)


def is_encoded_uri(text: str) -> bool:
    """Tell whether decoding and encoding again gives the same text, as the reference checks a URI."""
    if ONLY_KEPT.fullmatch(text):
        return True
    try:
        return quote(unquote_to_bytes(text).decode("utf-8"), safe=_KEPT) == text
    except UnicodeError:
        return False
