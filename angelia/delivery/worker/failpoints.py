"""Where a worker can be made to die: `ANGELIA_FAILPOINT=after_send:120` kills this process (SIGKILL) at the 120th passage. Tests only.

Points: see `POINTS`.
"""

from __future__ import annotations

import os
import signal

from angelia.errors import InvalidInput

POINTS = ("before_intent", "after_intent", "after_send", "before_ack", "before_outcome", "after_outcome", "before_done")


def armed() -> tuple[str, int] | None:
    """Return the armed point and passage, or None.

    Raises:
        InvalidInput: the variable names no point.
    """
    text = os.environ.get("ANGELIA_FAILPOINT", "")
    if not text:
        return None
    name, _, nth = text.partition(":")
    if name not in POINTS or not nth.isdigit():
        raise InvalidInput(f"ANGELIA_FAILPOINT={text!r} is no failpoint", fix=f"write NAME:NTH with NAME one of {', '.join(POINTS)}")
    return name, int(nth)


class Failpoints:
    """Counts passages; dies at the armed one."""

    def __init__(self) -> None:
        self._armed = armed()
        self._passed = 0
        self.active = self._armed is not None

    def hit(self, name: str) -> None:
        """Pass a point."""
        if self._armed is not None and self._armed[0] == name:
            self._passed += 1
            if self._passed == self._armed[1]:
                os.kill(os.getpid(), signal.SIGKILL)
