"""PgBouncer between clients and PostgreSQL: one server process for each transaction."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from worker.adapters.embedded.postgres import server_account
from worker.adapters.embedded.server import LOOPBACK, Server, ServerPlan, free_port, listens

BINARY: Final = "pgbouncer"

_CONFIG: Final = """
[databases]
* = host={host} port={server_port} user={user} password={password}
[pgbouncer]
listen_addr = {loopback}
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {servers}
min_pool_size = {servers}
server_round_robin = 1
ignore_startup_parameters = extra_float_digits
"""


def pooler_can_run() -> bool:
    return shutil.which(BINARY) is not None


@contextmanager
def pooled(url: str, servers: int) -> Iterator[str]:
    """Give the URL of a database behind a pooler that has so many server processes and takes them in turn."""
    parts, port = urlsplit(url), free_port()
    folder = Path(tempfile.mkdtemp(prefix="orchestrator-worker-pooler-"))
    folder.chmod(0o755)
    config = folder / "pgbouncer.ini"
    config.write_text(
        _CONFIG.format(
            host=parts.hostname,
            server_port=parts.port,
            user=parts.username,
            password=parts.password,
            loopback=LOOPBACK,
            port=port,
            servers=servers,
        )
    )
    plan = ServerPlan(
        name=BINARY,
        command=[shutil.which(BINARY) or BINARY, str(config)],
        environment={"PATH": "/usr/sbin:/usr/bin"},
        account=server_account(),
    )
    server = Server(plan, folder)
    server.start(lambda: listens(port))
    try:
        yield parts._replace(netloc=f"{parts.username}@{LOOPBACK}:{port}").geturl()
    finally:
        server.stop()
