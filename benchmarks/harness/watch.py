"""What a benchmark's processes use: memory and processor time of a whole tree."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

_PAUSES = 20  # the pause after a look, in looks: watching costs at most a tenth of a core


class Watch(threading.Thread):
    """Samples a process and all below it.

    Processor time ten times a second, memory (shared pages counted once: PSS) twice, both less often where a
    look takes long: summing the pages of 4 GiB takes the kernel tens of milliseconds, which the watched
    process loses.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak_kib, self.over = pid, 0, threading.Event()
        self._ticks: dict[int, int] = {}

    def run(self) -> None:
        """Sample until stopped."""
        pause_s, memory_at = 0.1, 0.0
        while not self.over.wait(pause_s):
            began = time.monotonic()
            tree = _tree(self.pid)
            self._ticks |= {pid: used for pid in tree if (used := ticks(pid))}
            looked = time.monotonic()
            pause_s = max(0.1, _PAUSES * (looked - began))
            if looked >= memory_at:
                self.peak_kib = max(self.peak_kib, sum(_pss_kib(pid) for pid in tree))
                ended = time.monotonic()
                memory_at = ended + max(0.5, _PAUSES * (ended - looked))

    @property
    def cpu_s(self) -> float:
        """Processor time, which other work on the machine hardly changes, unlike seconds."""
        return sum(self._ticks.values()) / os.sysconf("SC_CLK_TCK")


def _tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(path.name))
    pids, stack = [], [root]
    while stack:
        pids.append(stack.pop())
        stack += children.get(pids[-1], [])
    return pids


def _pss_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def ticks(pid: int) -> int:
    """Return the processor time a process has used, in clock ticks; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])
