"""Run the worker's commands as processes, and see what they leave behind."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import structlog
from typer.testing import CliRunner

from worker.cli.app import app

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 30.0
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


def environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give our environment without settings of the worker, and with the given ones."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("WORKER_")}
    return ours | dict(given or {})


def run_worker(
    *arguments: str, given: Mapping[str, str] | None = None, stdin: str = "", directory: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        check=False,
        capture_output=True,
        text=True,
        input=stdin,
        cwd=directory,
        env=environment(given),
        timeout=TIMEOUT_SECONDS,
    )


def run_here(
    *arguments: str, given: Mapping[str, str] | None = None, stdin: str = "", directory: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in this process: quicker than one of its own, and what is wrong with it shows."""
    with chdir(directory), patch.dict(os.environ, environment(given), clear=True):
        done = CliRunner().invoke(app, arguments, input=stdin, prog_name="worker")
    # The logs were to go where nobody reads any more.
    structlog.reset_defaults()
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(["worker", *arguments], done.exit_code, done.stdout, done.stderr)


@contextmanager
def temporary_folders() -> Iterator[Path]:
    """Give a TMPDIR that PostgreSQL's user can enter too, which pytest's own folders do not let it."""
    folder = Path(tempfile.mkdtemp(prefix="worker-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def left_behind(folder: Path) -> list[str]:
    """Name what is left of a program that had `folder` as its TMPDIR: files, and, on Linux, processes."""
    left = [path.name for path in folder.iterdir() if not path.name.endswith(".txt")]
    mark = str(folder).encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if mark in told:
            left.append(told.partition(b"\0")[0].decode())
    return left


@dataclass(slots=True)
class Running:
    """A command that goes on; its output is in a file, so that nothing waits for a reader."""

    program: subprocess.Popen[bytes]
    output_file: Path

    @property
    def output(self) -> str:
        return self.output_file.read_text()

    def wait_for(self, text: str) -> None:
        """Wait until the text is in the output, or fail with what is there."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while text not in self.output:
            assert self.program.poll() is None, f"ended with {self.program.returncode}:\n{self.output}"
            assert time.monotonic() < deadline, f"{text!r} did not come:\n{self.output}"
            time.sleep(0.05)

    def end(self, signal_number: signal.Signals) -> int:
        """Send a signal and wait for the end; return the exit status."""
        self.program.send_signal(signal_number)
        return self.program.wait(STOP_TIMEOUT_SECONDS)


@contextmanager
def running(
    *arguments: str,
    given: Mapping[str, str] | None,
    folder: Path,
    directory: Path = ROOT,
    python: str = sys.executable,
) -> Iterator[Running]:
    """Start `python -m …` in a directory and let it run; it is ended in any case."""
    output_file = folder / "output.txt"
    with output_file.open("wb") as output:
        program = subprocess.Popen(
            [python, "-m", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=environment({**(given or {}), "TMPDIR": str(folder)}),
        )
    try:
        yield Running(program, output_file)
    finally:
        if program.poll() is None:
            program.terminate()
            program.wait(STOP_TIMEOUT_SECONDS)


def exports(output: str) -> dict[str, str]:
    """Read the `export NAME='value'` lines that `worker dev` prints."""
    return dict(re.findall(r"^ *export (\w+)='([^']*)'$", output, re.MULTILINE))
