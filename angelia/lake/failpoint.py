"""Named places where a fault test kills the process, to see what a crash there leaves.

`ANGELIA_FAILPOINT=name` kills (SIGKILL) at the first passage of that name, `name:3` at the third. Unset
(always, outside tests) it costs one look-up.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

from angelia.errors import InvalidInput

WORKER = (
    "before_intent",
    "after_intent",
    "after_send",
    "before_ack",
    "before_outcome",
    "after_outcome",
    "before_done",
)
LAKE = (
    "create.before_link",
    "create.after_link",
    "write.file",
    "publish.before_audit",
    "publish.before_create",
)
INTAKE = ("batch.claimed", "batch.reserved", "batch.before_seal", "batch.sealed", "batch.delivered")
TRIGGERS = ("trigger.kept", "trigger.accepted", "trigger.concluded")
ERASURE = ("erase.begun", "erase.suppressed", "erase.before_commits", "erase.commit", "erase.dropped")
FOLD = ("fold.suppressed", "fold.placed", "fold.kept", "fold.moved")
POINTS = (*WORKER, *LAKE, *INTAKE, *TRIGGERS, *ERASURE, *FOLD)

_passed: Counter[str] = Counter()


def armed() -> tuple[str, int] | None:
    """Return the armed point and passage, or None.

    Raises:
        InvalidInput: the variable names no point.
    """
    text = os.environ.get("ANGELIA_FAILPOINT")
    if not text:
        return None
    name, _, nth = text.partition(":")
    if name not in POINTS or not (nth or "1").isdigit():
        raise InvalidInput(
            f"ANGELIA_FAILPOINT={text!r} is not a failpoint",
            fix=f"write NAME or NAME:NTH with NAME one of {', '.join(POINTS)}",
        )
    return name, int(nth or 1)


def failpoint(name: str) -> None:
    """Kill this very process without any clean-up, if the environment asks for it here."""
    point = armed()
    if point is not None and point[0] == name:
        _passed[name] += 1
        if _passed[name] >= point[1]:
            os.kill(os.getpid(), signal.SIGKILL)
