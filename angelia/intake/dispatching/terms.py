"""How a dispatcher works, and what it did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from angelia.errors import AngeliaError
from angelia.output import progress

LEASE_S = 30.0


@dataclass(frozen=True)
class DispatchTerms:
    """How to dispatch."""

    once: bool = False
    batch_rows: int = 5_000
    lanes: int = 2  # beside the one for high messages
    lead_hours: int = 28
    slots: int = 1
    endpoint_url: str | None = None
    request_timeout_s: float = 10.0
    lease_s: float = LEASE_S
    metrics_folder: Path | None = None
    pace_folder: Path | None = None


@dataclass
class Report:
    """What a dispatcher did."""

    steps: Counter[str] = field(default_factory=Counter)
    batches: int = 0
    unfinished: int = 0
    halted: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def trouble(self, error: AngeliaError) -> None:
        """Keep what kept a batch from ending; each is said once."""
        if error.one_line() not in self.problems:
            self.problems.append(error.one_line())
            progress(f"intake dispatch: {error.one_line()}")

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "steps": dict(sorted(self.steps.items())),
            "batches": self.batches,
            "unfinished_batches": self.unfinished,
            "halted": self.halted,
            "problems": self.problems,
            "seconds": round(self.seconds, 3),
        }
