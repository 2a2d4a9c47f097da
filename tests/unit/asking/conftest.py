"""The tight night of the planner's own tests, as a lake to ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia.lake import Lake


@pytest.fixture(scope="session")
def tight(tight_home: Path) -> Lake:
    """Return a lake with a planned night of 600 people in three shards; do not write to it."""
    return Lake.open(str(tight_home / "lake"))
