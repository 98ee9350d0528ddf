"""Nothing in the repository tells of one machine, or of the address of a package registry."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULES = {
    "a path of one machine": re.compile(r"(?<![\w.}])/(?:root|home/\w+|work|Users/\w+)/"),
    "this checkout's path": re.compile(re.escape(str(ROOT)) + r"(?!\w)"),
    "the address of a registry": re.compile(
        r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|repo1?\.maven|central\.sonatype|crates\.io|proxy\.golang|"
        r"deb\.debian|debian\.org/debian|registry-1\.docker|index-ur[l]"
    ),
}


def files() -> list[Path]:
    """List the files that are tracked or about to be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("this is no clone of the repository: what is tracked is not known")
    return [path for name in done.stdout.split("\0") if (path := ROOT / name).is_file()]


def faults(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        for rule, pattern in RULES.items():
            if found := pattern.search(line):
                yield f"line {number}: {rule}: {found[0]}"


def test_no_file_tells_of_a_machine_or_a_registry() -> None:
    found = {
        str(path.relative_to(ROOT)): told
        for path in files()
        if (told := list(faults(path.read_text(encoding="utf-8", errors="replace"))))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("see /root" + "/project", "a path of one machine"),
        ("cd /home" + "/someone/project", "a path of one machine"),
        (f"{ROOT}/worker", "this checkout's path"),
        ("https://pypi" + ".org/simple", "the address of a registry"),
        ("https://repo1" + ".maven.org", "the address of a registry"),
    ],
)
def test_a_fault_is_found(text: str, rule: str) -> None:
    assert rule in "".join(faults(text))


@pytest.mark.parametrize("text", ["worker/root/x", "${HOME}/work/x", "http://maven.apache.org/POM/4.0.0", "/workers/x"])
def test_what_only_looks_alike_is_let_through(text: str) -> None:
    assert list(faults(text)) == []
