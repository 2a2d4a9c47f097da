"""Fold beside the server: new events every few seconds, waiting ones once a minute.

Writes the structured log. Surprise: a fold that fails leaves the journal as it is, and the next tries again.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from angelia import logs
from angelia.errors import AngeliaError
from angelia.output import progress

_AGAIN_S = 60.0  # an event that could not be placed (its part is not done) is tried again after this long


def keep_folding(
    fold: Callable[[], Counter[str]],
    has_event: threading.Event,
    over: threading.Event,
    totals: Counter[str],
    every_s: float,
    watch: Callable[[], None] = lambda: None,
) -> None:
    """Fold what has come in, at most once per interval, until the server ends.

    `watch` is called ten times a second meanwhile: it writes what was counted.
    """
    # An earlier run may have left events in the journal: the first pass folds them.
    folded_at, last = 0.0, Counter({"waiting": 1})
    while not over.wait(0.1):
        now = time.monotonic()
        is_due = has_event.is_set() and now - folded_at >= every_s
        is_left = last["waiting"] + last["unknown"] + last["damaged"]
        if is_due or (is_left and now - folded_at >= _AGAIN_S):
            has_event.clear()
            last = fold_once(fold)
            totals.update(last)
            folded_at = time.monotonic()
        watch()


def fold_once(fold: Callable[[], Counter[str]]) -> Counter[str]:
    """Fold the journal; a failure leaves it as it is, and the next call tries again."""
    try:
        counts = fold()
        if counts.total():
            logs.event("receive_folded", **counts)
        return counts
    except AngeliaError as error:
        progress(f"not folded: {error.one_line()}; tried again")
    except Exception as error:  # noqa: BLE001 (the thread would end, and nothing would be folded any more)
        progress(f"not folded: {type(error).__name__}; tried again")
    return Counter()
