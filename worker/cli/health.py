"""`worker health`: ask the worker on this machine how it is, as an image's health check does."""

import http.client
import json
import sys
from typing import Final

from worker.cli.loading import settings_without
from worker.core.errors import SetupError
from worker.terminal.faults import FAILED, fail

TIMEOUT_SECONDS: Final = 3.0
BODY_BYTES_MAX: Final = 64 * 1024

_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - What listens everywhere is asked here.


def ask(*, ready: bool, as_json: bool) -> None:
    """Print what `/livez` or `/readyz` says; end with 1 if that is not fine, or nobody answers. Raises: SetupError."""
    settings = settings_without("database_url", "kafka_bootstrap_servers")
    if not settings.http_port:
        raise SetupError(
            "WORKER_HTTP_PORT=0: the worker takes any free port, so which one to ask is not known. Set a port"
        )
    host = _EVERYWHERE.get(settings.http_host, settings.http_host)
    status, body = _get(host, settings.http_port, "/readyz" if ready else "/livez")
    try:
        told = body if as_json else _told(body)
    except (ValueError, LookupError, TypeError):
        fail(f"what answers on {host}, port {settings.http_port}, is no worker: WORKER_HTTP_PORT is another's", FAILED)
    sys.stdout.write(told)
    if status != http.client.OK:
        sys.exit(FAILED)


def _get(host: str, port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(BODY_BYTES_MAX).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        fail(f"no worker answers on {host}, port {port}: {error}", FAILED)
    finally:
        connection.close()


def _told(body: str) -> str:
    report = json.loads(body)
    parts = [f"  {name}: {part['detail']}" for name, part in report["parts"].items()]
    return "\n".join([report["status"], *parts, ""])
