"""What a benchmark started ends with it, whatever ended the benchmark."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
CODE = """
import subprocess, sys, time
from benchmarks.harness.guard import guarded
with guarded():
    ways = ({}, {"start_new_session": True})
    children = [subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, **way) for way in ways]
    print(*[child.pid for child in children], flush=True)
    if sys.argv[1] != "0":
        time.sleep(600)
"""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [0, signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_children_end_with_the_benchmark(number: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(int(number))], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    children = [int(word) for word in process.stdout.readline().split()]
    assert len(children) == 2
    if number:
        os.kill(process.pid, number)
    process.wait(timeout=60)
    process.stdout.close()
    end = time.monotonic() + 60
    while any(map(is_alive, children)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(is_alive, children))
