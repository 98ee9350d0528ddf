"""A small program that keeps one server for as long as its parent lives.

Started by `Server`; it knows the standard library alone, so that it starts at once. It runs the server, writes
the server's process id as its first line, and then waits for the end of its standard input. That comes when the
parent closes it or dies, `kill -9` included: either way the server is stopped and the folder removed, so there is
one way to stop, and it is the one that is always used.
"""

import argparse
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

POLL_SECONDS = 0.1


def main(arguments: Sequence[str]) -> int:
    """Keep the server that the arguments describe; return its exit status."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _exit)
    # A shell starts background programs deaf to it, and a server that inherits that can't be stopped by it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    server = _start(options)
    try:
        sys.stdout.write(f"{server.pid}\n")
        sys.stdout.flush()
        while server.poll() is None and not _parent_gone():
            pass
        if server.returncode is not None and server.returncode < 0:
            sys.stderr.write(f"ended by {signal.Signals(-server.returncode).name}, which was not sent from here\n")
    finally:
        _stop(server, signal.Signals[options.stop_signal], options.grace_seconds)
        if options.remove is not None and _parent_gone():
            shutil.rmtree(options.remove, ignore_errors=True)
    return 0 if server.returncode == 0 else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--stop-signal", required=True)
    parser.add_argument("--grace-seconds", type=float, required=True)
    parser.add_argument("--remove", type=Path)
    parser.add_argument("--user", type=int)
    parser.add_argument("--group", type=int)
    parser.add_argument("command", nargs="+")
    return parser


def _start(options: argparse.Namespace) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        options.command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        stderr=sys.stderr,
        user=options.user,
        group=options.group,
        extra_groups=None if options.user is None else [],
        process_group=0,
    )


def _parent_gone() -> bool:
    # Nobody writes to the pipe, so it can be read only at its end.
    return bool(select.select([sys.stdin], [], [], POLL_SECONDS)[0])


def _stop(server: subprocess.Popen[bytes], stop_signal: signal.Signals, grace_seconds: float) -> None:
    if server.poll() is not None:
        return
    server.send_signal(stop_signal)
    try:
        server.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _exit(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
