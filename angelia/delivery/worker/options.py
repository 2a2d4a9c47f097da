"""What one run of the worker is asked to deliver, and what came of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from angelia.errors import Corrupt

# Parts that wait for a campaign's speed limit hold a run no longer than this: the next hour has its own.
PACED_S = 2_400.0


@dataclass(frozen=True)
class Options:
    """What to deliver and how; `hours` None = whatever is due now."""

    ds: str
    hours: tuple[str, ...] | None = None
    channel: str | None = None
    part: int | None = None
    priority: str | None = None
    simulated: bool = False
    takeover: bool = False
    wait_for_lease: bool = False  # a part whose holder is not heard of is waited for, not left
    endpoint_url: str | None = None
    slots: int = 1
    batch_rows: int = 2_000
    batch_deadline_s: float = 60.0
    request_timeout_s: float = 10.0
    seed: int = 0
    paced_s: float = PACED_S
    metrics_file: Path | None = None
    metrics_folder: Path | None = None  # of this machine's totals; None keeps none
    pace_folder: Path | None = None  # where this home's processes share paces; None: each has its own alone


@dataclass
class RunResult:
    """What came of it. The rooms of a run count by its methods."""

    delivered: Counter[str] = field(default_factory=Counter)
    already_delivered: int = 0
    parts: int = 0
    busy: int = 0
    unfinished: int = 0
    waiting: int = 0  # parts that go on at their campaign's speed limit in the next run
    halted: dict[str, str] = field(default_factory=dict)
    # What kept parts, or a whole hour, from being sent.
    damaged: list[Corrupt] = field(default_factory=list)
    drained: bool = False
    seconds: float = 0.0

    def damage(self, error: Corrupt) -> None:
        """Keep what stopped a part, or a whole hour: it is named once the others are sent."""
        self.unfinished += 1
        if error.message not in [known.message for known in self.damaged]:
            self.damaged.append(error)

    def begin(self, counts: Counter[str]) -> None:
        """Count the outcomes a file had before this run sent any of its rows."""
        self.already_delivered += sum(counts.values())

    def end(self, how: str) -> None:
        """Count a part by how it ended: done, busy (another worker has it), waiting, or unfinished."""
        if how == "done":
            self.parts += 1
        elif how == "busy":
            self.busy += 1
        elif how == "waiting":
            self.waiting += 1
        else:
            self.unfinished += 1

    def count(self, before: Counter[str], after: Counter[str]) -> None:
        """Count what this run adds to a file's outcomes."""
        # A row whose outcome improves (deferred before, accepted now) is not "already delivered".
        self.already_delivered -= sum(max(0, n - after[outcome]) for outcome, n in before.items())
        for outcome in {*before, *after}:
            self.delivered[outcome] += after[outcome] - before[outcome]
            if not self.delivered[outcome]:
                del self.delivered[outcome]

    def added(self) -> dict[str, int]:
        """Return the outcomes that this run adds, by name.

        That rows of an earlier run are no longer deferred is no outcome.
        """
        return {name: n for name, n in sorted(self.delivered.items()) if n > 0}

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "delivered": self.added(),
            "already_delivered": self.already_delivered, "parts": self.parts,
            "busy_parts": self.busy, "unfinished_parts": self.unfinished, "waiting_parts": self.waiting,
            "halted": self.halted, "damaged": [error.message for error in self.damaged],
            "drained": self.drained,
            "seconds": round(self.seconds, 3),
        }  # fmt: skip
