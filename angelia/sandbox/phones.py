"""What the phones received: counts per dispatch id.

They are the witness of every test about doubled or lost messages.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from pathlib import Path
from typing import Any

RECENT = 40


class Phones:
    """Every message that the sandbox's phones received."""

    def __init__(self) -> None:
        self.received: dict[str, int] = {}
        self.outcomes: Counter[str] = Counter()
        self.n_requests = 0
        self.doubled = 0
        self.without_id = 0
        self.repeated: dict[str, int] = {}  # dispatches received more than once
        self.n_connections = 0
        self._under_way = self.most_under_way = 0
        self.recent: deque[tuple[str, str, str, str]] = deque(maxlen=RECENT)

    def connected(self) -> None:
        """Count a connection."""
        self.n_connections += 1

    def begin(self) -> None:
        """Count a request whose answer is delayed.

        The number under way at once shows whether a client multiplexes.
        """
        self._under_way += 1
        self.most_under_way = max(self.most_under_way, self._under_way)

    def end(self) -> None:
        """A delayed answer leaves."""
        self._under_way -= 1

    def receive(self, dispatch: str, token: str, title: str, body: str) -> None:
        """Show a message; a second one with the same dispatch id is a double."""
        if not dispatch:
            self.without_id += 1
        else:
            seen = self.received.get(dispatch, 0)
            self.received[dispatch] = seen + 1
            if seen:
                self.doubled += 1
                self.repeated[dispatch] = seen + 1
        self.recent.append((dispatch, token, title, body))

    def stats(self) -> dict[str, Any]:
        """Return the counts."""
        return {
            "requests": self.n_requests,
            "outcomes": dict(sorted(self.outcomes.items())),
            "received": sum(self.received.values()) + self.without_id,
            "unique": len(self.received),
            "doubled": self.doubled,
            "without_dispatch_id": self.without_id,
            "connections": self.n_connections,
            "most_under_way": self.most_under_way,
        }

    def dump(self, folder: Path) -> None:
        """Write `stats.json` and `received.json` (count per dispatch id)."""
        for name, value in (("stats.json", self.stats()), ("received.json", self.received)):
            temporary = folder / f".{name}"
            temporary.write_text(json.dumps(value), "utf-8")
            temporary.replace(folder / name)
