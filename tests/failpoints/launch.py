"""A worker as `worker run` runs it, but for what is planned to happen at one of its calls.

Its own way to a server goes through a proxy in this process where the plan is to block it. What is planned comes in
the environment; see `running.py`, which starts this.
"""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from tests.failpoints.cells import Deed
from tests.failpoints.tampering import Fired, Plan, Stalling, Tampering
from tests.servers.proxy import TcpProxy
from worker.bootstrap import deploy, parts_of, run_until_stopped
from worker.logs import configure_logs
from worker.runtime.loop import Worker
from worker.settings import load_settings

PLANS = "WORKER_TEST_FAILPOINTS"
FIRED = "WORKER_TEST_FIRED_FILE"
KAFKA_PORTS = "WORKER_TEST_KAFKA_PORTS"
DATABASE_URL = "WORKER_DATABASE_URL"
KAFKA = "WORKER_KAFKA_BOOTSTRAP_SERVERS"


def main() -> None:
    """Run until stopped, or until what is planned ends this process."""
    # Before there are threads, which take over what is blocked: a worker waits for these signals.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    environment = dict(os.environ)
    plans = [Plan(**(one | {"deed": Deed(one["deed"])})) for one in json.loads(environment[PLANS])]
    with _ways(environment, any(plan.deed is Deed.HANGS for plan in plans)) as ways:
        settings = load_settings(environment).settings
        configure_logs(settings.log_level, settings.log_format)
        tampering = Tampering(plans, partial(_tell, Path(environment[FIRED])), ways)
        run_until_stopped(Worker(tampering.parts(parts_of(deploy(settings)))))


def _tell(file: Path, fired: Fired) -> None:
    """Write what happened into a file; whoever waits for it must not find half of it."""
    written = file.with_suffix(".new")
    written.write_text(json.dumps(asdict(fired)))
    written.rename(file)


@contextmanager
def _ways(environment: dict[str, str], proxied: bool) -> Iterator[dict[str, Stalling]]:
    """Put a proxy before each server, and the proxies' addresses into the environment."""
    if not proxied:
        yield {}
        return
    url = environment[DATABASE_URL]
    port = urlsplit(url).port
    assert port is not None
    # The broker tells its clients the port of the proxy, so that this is no free choice.
    target, proxy = map(int, environment[KAFKA_PORTS].split(":"))
    with ExitStack() as opened:
        database = opened.enter_context(TcpProxy(port))
        kafka = opened.enter_context(TcpProxy(target, proxy))
        environment[DATABASE_URL] = url.replace(f":{port}/", f":{database.port}/")
        environment[KAFKA] = f"127.0.0.1:{proxy}"
        yield {"database": database, "kafka": kafka}


if __name__ == "__main__":
    main()
