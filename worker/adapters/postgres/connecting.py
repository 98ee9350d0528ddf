"""What to do about a database that lets nobody in: by what libpq and the server say of it. Pure."""

import re
from collections.abc import Sequence
from typing import Final

_REMEDIES: Final[Sequence[tuple[str, str]]] = (
    ("password authentication failed|no password supplied", "correct user and password in WORKER_DATABASE_URL"),
    (
        "no pg_hba.conf entry.*no encryption",
        (
            "the server takes connections over TLS alone: put sslmode=verify-full and sslrootcert=FILE into "
            "WORKER_DATABASE_URL"
        ),
    ),
    ("no pg_hba.conf entry", "have the server's pg_hba.conf let this user in from here"),
    (
        "does not match host name",
        "name the server in WORKER_DATABASE_URL as its certificate does, or have it given one with its name",
    ),
    (
        "certificate verify failed",
        "the server's certificate has expired, or no authority of sslrootcert in WORKER_DATABASE_URL has signed it",
    ),
    (
        "root certificate file|could not (read|load) .*root cert",
        "name the file of the authority that signed the server's certificate: sslrootcert=FILE in WORKER_DATABASE_URL",
    ),
    (
        "certificate file|private key file|private key",
        "correct sslcert, sslkey and sslpassword in WORKER_DATABASE_URL",
    ),
    (
        "server does not support SSL",
        "switch TLS on at the server (ssl=on), or ask for none: sslmode in WORKER_DATABASE_URL",
    ),
    ("permission denied for database", "GRANT CONNECT ON DATABASE to this user"),
)
_ADVICE: Final = "Is its URL (WORKER_DATABASE_URL) right?"


def unreachable_text(said: str) -> str:
    """Say in one line that the database can't be reached, why, and what to do."""
    line = " ".join(said.split())
    remedy = next((text for pattern, text in _REMEDIES if re.search(pattern, line)), None)
    first = said.strip().partition("\n")[0].rstrip(".")
    return (
        f"the database can't be reached: {first}. {remedy[0].upper()}{remedy[1:]}"
        if remedy
        else (f"the database can't be reached: {first}. {_ADVICE}")
    )
