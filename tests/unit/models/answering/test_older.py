"""A year of pushes is counted for a first model, each faded by its age, and nobody else's."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.lake import Lake
from models.answering.older import older_answers

AT = datetime(2026, 10, 1, 9, tzinfo=UTC)


def test_pushes_of_a_year_are_counted_and_fade(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path / "lake"))

    def write(ds: str, *rows: tuple[int, str]) -> None:
        whole = [
            {"ordinal": ordinal, "message_id": f"{ordinal}", "campaign_id": "sale", "material_id": "sale_a",
             "channel": "fcm", "kind": kind, "at_ts": AT, "sent_ts": AT}
            for ordinal, kind in rows
        ]  # fmt: skip
        schema = arrow.schema(dataset("user_pushes"))
        with lake.attempt("user_pushes", ds=ds) as attempt:
            attempt.write(pa.Table.from_pylist(whole, schema=schema), "part-0000.parquet", shards=(0, 0))
            attempt.publish()

    write("2025-10-17", (4, "sent"))  # more than a year before
    write("2026-04-20", (4, "sent"), (4, "opened"), (9, "sent"))
    write("2026-10-17", (4, "sent"), (5, "sent"), (6, "opened"))
    write("2026-10-18", (4, "opened"))  # after the record's day
    record, read = older_answers(lake, np.array([4, 9]), last="2026-10-17")
    assert record is not None
    sent, opened = record.pushes(2)
    assert sent == pytest.approx([1.5, 0.5])
    assert opened == pytest.approx([0.5, 0.0])
    assert [commit.partition["ds"] for commit in read] == ["2026-10-17", "2026-04-20"]
    assert not record.counts(("camera",), 2).any(), "it knows no looks"
    assert older_answers(lake, np.array([4]), last="2024-01-01") == (None, [])
