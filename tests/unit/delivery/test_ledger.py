"""Whether a worker that wrote an intent is provably gone."""

from __future__ import annotations

import os
import subprocess

from angelia.delivery.ledger.ledger import _start_ticks


def test_a_zombie_counts_as_gone() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has taken its code
    try:
        assert _start_ticks(process.pid) is None
        assert _start_ticks(os.getpid()) is not None
    finally:
        process.wait()
