"""Messages of five years are made by the database, and what is due is found among them."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from angelia.intake.database import connect
from angelia.intake.tables import messages
from benchmarks.messages import due


def test_messages_spread_over_five_years_and_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "AT_ONCE", 40)
    monkeypatch.setattr(due, "QUESTIONS", 3)
    monkeypatch.setattr(due, "ROWS", 5)
    figures = due.due_query_ms(tmp_path, 90, 1)
    assert 0 < figures["due_query_ms"] <= figures["due_query_p95_ms"]
    engine = connect(f"sqlite:///{tmp_path / 'timed.db'}")
    with engine.connect() as connection:
        rows = connection.execute(sa.select(messages)).mappings().all()
    engine.dispose()
    assert len({row["id"] for row in rows}) == 90
    ahead = [row["due_us"] - row["accepted_us"] for row in rows]
    assert min(ahead) >= 0
    assert due.YEARS_US // 2 < max(ahead) < due.YEARS_US
    # What was found is claimed before the next question: five of each priority.
    claimed = [row["priority"] for row in rows if not row["is_open"]]
    assert sorted(claimed) == [0] * 5 + [1] * 5 + [2] * 5
