"""Clean Debian roots, and programs that run in a root as a container runtime would run them.

Only root can do this, on Linux.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "roots"
NEEDED = {"mmdebstrap": "mmdebstrap", "unshare": "util-linux", "buildah": "buildah"}
"""Programs, and the Debian packages that have them."""

# $1: the root; $2: ro or rw; $3: user and group; $4: the directory; $5: how many words are mounts; then the mounts, two
# words each, and the command, which becomes the process that this was: the first of its namespace.
ENTER = """
set -e
root=$1 mode=$2 user=$3 directory=$4 mounts=$5
shift 5
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
while [ "$mounts" -gt 0 ]; do
    if [ -d "$1" ]; then mkdir -p "$root$2"; else touch "$root$2"; fi
    mount --rbind "$1" "$root$2"
    shift 2
    mounts=$((mounts - 2))
done
mount -o "remount,bind,$mode" "$root"
exec setpriv --no-new-privs /usr/sbin/chroot --userspec="$user" --groups= "$root" /usr/bin/env --chdir="$directory" "$@"
"""


def lacking(*programs: str) -> str | None:
    """Say what is missing for these programs, or None."""
    if os.geteuid() != 0:
        return "only root can make a root: run this as root"
    packages = [NEEDED[program] for program in programs if shutil.which(program) is None]
    return f"install what is missing (Debian: apt-get install {' '.join(packages)})" if packages else None


def debian(release: str, packages: Sequence[str]) -> Path:
    """Give the archive of a root of this Debian release, made once. Blocks for the minute that this takes."""
    wanted = ",".join(["ca-certificates", *packages])
    archive = KEPT / f"{release}-{sha256(wanted.encode()).hexdigest()[:12]}.tar"
    if archive.exists():
        return archive
    KEPT.mkdir(parents=True, exist_ok=True)
    unfinished = archive.with_suffix(".unfinished.tar")
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={wanted}"]
    # A mirror that is behind is good enough for a test.
    command += ["--aptopt=Acquire::Check-Valid-Until false", release, str(unfinished)]
    subprocess.run(command, check=True)
    unfinished.rename(archive)
    return archive


@dataclass(frozen=True, slots=True)
class Root:
    """A folder that is the whole file system of the programs that run in it; the network is the machine's."""

    folder: Path
    user: str = "0:0"
    directory: str = "/"
    is_read_only: bool = False
    mounts: Mapping[Path, str] = field(default_factory=dict)

    def command(self, words: Sequence[str]) -> list[str]:
        """Give the command that runs these words in the root. They are process 1, and die with the command."""
        mounts = [str(end) for pair in self.mounts.items() for end in pair]
        mode = "ro" if self.is_read_only else "rw"
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", ENTER, "enter"]
        given = [str(self.folder), mode, self.user, self.directory, str(len(mounts))]
        return [*unshare, *given, *mounts, *words]


def first_process(pid: int) -> int:
    """Give the process that runs in the root, by that of `Root.command`; as the machine numbers it."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def files_of(folder: Path) -> Iterator[Path]:
    """List what is in a root, but for what a kernel or an engine puts there."""
    for here, folders, files in os.walk(folder):
        if Path(here) == folder:
            folders[:] = [name for name in folders if name not in {"dev", "proc", "sys", "tmp"}]
        yield from (Path(here) / name for name in (*folders, *files))
