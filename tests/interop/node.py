"""Node for the tests: the packages of the lock file, the compiled TypeScript, and its processes."""

import hashlib
import json
import os
import queue
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.servers.locks import one_at_a_time

TYPESCRIPT = Path(__file__).with_name("typescript")
PACKAGE_FILES = (".npmrc", "package.json", "package-lock.json")
NODE_VERSION_MIN = 18
INSTALL_TIMEOUT_SECONDS = 300
COMPILE_TIMEOUT_SECONDS = 60
ANSWER_TIMEOUT_SECONDS = 20.0
STOP_TIMEOUT_SECONDS = 10.0
INHERITED = ("HOME", "LANG", "PATH", "TMPDIR")


def node_can_run() -> bool:
    """Tell whether Node is here, new enough, and npm with it or what npm would fetch."""
    if shutil.which("node") is None or not (modules_folder().is_dir() or shutil.which("npm")):
        return False
    told = subprocess.run(["node", "--version"], check=False, capture_output=True, text=True).stdout
    found = re.match(r"v(\d+)\.", told)
    return found is not None and int(found[1]) >= NODE_VERSION_MIN


def modules_folder() -> Path:
    """Say where the packages are kept: outside of the repository, for every clone with the same lock file.

    They find each other only in a folder of the name `node_modules`.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256((TYPESCRIPT / "package-lock.json").read_bytes()).hexdigest()
    return cache / "orchestrator-worker" / f"node-{digest[:16]}" / "node_modules"


def fetch_modules() -> None:
    """Have npm install what is locked, unless it is there; a broken installation leaves nothing behind."""
    target = modules_folder().parent
    if modules_folder().is_dir():
        return
    with one_at_a_time(target), tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        if modules_folder().is_dir():
            return
        whole = Path(temporary) / "whole"
        whole.mkdir()
        for name in PACKAGE_FILES:
            shutil.copy(TYPESCRIPT / name, whole)
        _run(["npm", "ci"], whole, INSTALL_TIMEOUT_SECONDS)
        whole.rename(target)


def compile_typescript(folder: Path) -> Path:
    """Check and compile the TypeScript in a folder that sees the packages; give the folder of the programs."""
    for source in (*TYPESCRIPT.glob("*ts"), TYPESCRIPT / "tsconfig.json", TYPESCRIPT / "package.json"):
        shutil.copy(source, folder)
    (folder / "node_modules").symlink_to(modules_folder(), target_is_directory=True)
    _run(["node", "node_modules/typescript/bin/tsc", "--project", "."], folder, COMPILE_TIMEOUT_SECONDS)
    return folder / "dist"


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Give what a Node process has of ours, and the given."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ} | dict(given)


def _run(command: list[str], directory: Path, timeout_seconds: float) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=directory, timeout=timeout_seconds)
    if done.returncode:
        message = f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        raise RuntimeError(message)


@dataclass(slots=True)
class Peer:
    """One Node process that judges cases with arvo-core: one line of JSON asks, one answers."""

    program: Path
    _process: subprocess.Popen[str] = field(init=False)
    _reader: threading.Thread = field(init=False)
    _answers: "queue.SimpleQueue[str]" = field(init=False, default_factory=queue.SimpleQueue)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["node", str(self.program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=environment({}),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join(STOP_TIMEOUT_SECONDS)
        self._process.__exit__(kind, error, trace)

    def ask(self, question: str, **given: Any) -> Any:
        """Ask one question and give the answer. Raises: AssertionError, if the peer itself fails."""
        assert self._process.stdin is not None
        # ASCII alone: lone surrogates travel as escapes.
        self._process.stdin.write(json.dumps({"question": question, "given": given}) + "\n")
        self._process.stdin.flush()
        try:
            line = self._answers.get(timeout=ANSWER_TIMEOUT_SECONDS)
        except queue.Empty:
            raise AssertionError(f"Node did not answer {question!r} within {ANSWER_TIMEOUT_SECONDS:g} s") from None
        told = json.loads(line) if line else {"fault": f"Node ended with {self._process.poll()}"}
        assert "fault" not in told, f"Node failed at {question!r} of {given!r}: {told['fault']}"
        return told["answer"]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")
