"""What came back by callback, for a node exporter's textfile collector.

Adds to HOME/metrics/angelia_receive.prom, which all `angelia receive` of one machine share. No label holds a
caller's name, a message or a person. See `angelia.metrics`.
"""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

from angelia import metrics

log = logging.getLogger(__name__)
ANSWERS, EVENTS, FOLDED = (f"angelia_receive_{name}_total" for name in ("answers", "events", "folded"))
WHAT = ("receipts", "suppressions", "devices", "foreign")
LOST = ("broken", "late", "crowded")
COUNTERS = {
    ANSWERS: "Requests answered, by status; broken, late, crowded: not answered.",
    EVENTS: "Events by what became of them: taken, refused, ignored, or of an inbox.",
    FOLDED: "Receipts, opt-outs and devices that said something new, folded into the datasets; foreign: an "
    "app's word on another person's message, left out.",
}


class CallbackTotals:
    """The totals of this machine's callbacks."""

    def __init__(self, folder: Path | None) -> None:
        path = folder / "angelia_receive.prom" if folder is not None else None
        self._totals = metrics.Totals(path, COUNTERS)

    def add(self, server: Counter[str], folded: Counter[str], *, is_last: bool = False) -> None:
        """Add what a server and its folding have counted so far."""
        answers = {name: n for name, n in server.items() if name.isdigit() or name in LOST}
        events = {"taken": server["events"]} | {
            name: server[name] for name in ("refused", "ignored", "inbox")
        }
        counts = [(ANSWERS, {"status": name}, float(n)) for name, n in answers.items()]
        counts += [(EVENTS, {"result": name}, float(n)) for name, n in events.items() if n]
        counts += [(FOLDED, {"what": k}, float(folded[k])) for k in WHAT if folded[k]]
        try:
            self._totals.add(counts, is_last=is_last)
        except OSError as error:
            # Taking events matters more than being watched.
            log.warning("metrics file: %s", error.strerror)
