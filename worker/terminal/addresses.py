"""A database's address as it may be shown: without what is secret in it. Pure."""

import re
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

MASK: Final = "***"
_SECRET_PARAMETER: Final = re.compile(r"password", re.IGNORECASE)


def masked_url(url: str) -> str:
    """Show a database's address without its password; one that can be read in two ways is not shown at all."""
    try:
        scheme, netloc, path, query, fragment = urlsplit(url)
    except ValueError:
        return MASK
    credentials, at, place = netloc.rpartition("@")
    # A password with an unescaped `/`, `?` or `#` ends up in what follows the place.
    if "@" in f"{path}{query}{fragment}" or not _is_place(place):
        return f"{scheme}://{MASK}"
    user, colon, _ = credentials.partition(":")
    parameters = [
        (name, MASK if _SECRET_PARAMETER.search(name) else value)
        for name, value in parse_qsl(query, keep_blank_values=True)
    ]
    shown_query = f"?{urlencode(parameters, safe='*/')}" if parameters else ""
    return f"{scheme}://{user}{f':{MASK}' if colon else ''}{at}{place}{path}{shown_query}"


def _is_place(netloc: str) -> bool:
    return all(re.fullmatch(r"(\[[^\]]*\]|[^:]*)(:\d*)?", place) for place in netloc.split(","))
