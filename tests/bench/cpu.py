"""CPU time of whole process trees, as Linux counts it."""

import os
from collections import defaultdict
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(*roots: int) -> float:
    """Add up what processes, all that descend from them and those of them that have ended have spent."""
    ticks: dict[int, int] = {}
    children: defaultdict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
        except OSError:
            continue  # It has ended meanwhile; its parent counts it.
        fields = stat.rpartition(")")[2].split()
        children[int(fields[1])].append(int(folder.name))
        # utime and stime, and those of the children that were waited for.
        ticks[int(folder.name)] = sum(map(int, fields[11:15]))
    tree = list(roots)
    for process in tree:
        tree += children[process]
    return sum(ticks.get(process, 0) for process in tree) / TICKS_PER_SECOND
