"""Named places at which a fault test kills the process, to see what a crash there leaves behind.

`ANGELIA_FAILPOINT=name` kills at the first passage of that name, `name:3` at the third. Unset (always, outside tests) it costs one look-up.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

_passed: Counter[str] = Counter()


def failpoint(name: str) -> None:
    """Kill this very process without any clean-up, if the environment asks for it here."""
    wanted = os.environ.get("ANGELIA_FAILPOINT")
    if not wanted:
        return
    where, _, count = wanted.partition(":")
    if where == name:
        _passed[name] += 1
        if _passed[name] >= int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)
