"""A worker stays small: no pandas in its process, no more in memory than a file's rows."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest

from angelia.delivery.ledger import compaction, outcomes
from angelia.delivery.ledger.outcomes import Outcomes, merge, read
from angelia.delivery.manifest.rows import PartRows


def test_a_worker_does_not_load_pandas() -> None:
    code = """
import sys, angelia.delivery.worker.run
from angelia.delivery.manifest.rows import spare_memory
spare_memory()
import pyarrow as pa
assert pa.table({"a": [1]}).to_pylist() == [{"a": 1}]
assert "pandas" not in sys.modules
assert len(pa.table({"a": [1]}).to_pandas()) == 1  # who asks for it gets it
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_part_is_compacted_file_by_file(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    most, read_rows = [0], PartRows.read

    def counted(self: PartRows, rows: Any) -> pa.Table:
        most[0] = max(most[0], len(rows))
        return read_rows(self, rows)

    bench.plan(250)
    monkeypatch.setattr(compaction, "_FILE_ROWS", 100)
    monkeypatch.setattr(PartRows, "read", counted)
    bench.deliver()
    assert most == [100]
    assert len(bench.ledger()) == 250
    (leaf,) = bench.lake.partitions("delivery_ledger", ds="2026-11-14")
    assert [entry.rows for entry in bench.lake.require("delivery_ledger", **leaf).files] == [100, 100, 50]


def test_outcomes_in_order_are_merged_without_a_copy() -> None:
    def outcomes_from(first: int, outcome: str) -> pa.Table:
        batch = Outcomes(range(first, first + 3))
        batch.outcome = [outcome] * 3
        return read(batch.to_bytes())

    assert (
        merge([outcomes_from(0, "accepted"), outcomes_from(3, "deferred")]).column("row").num_chunks == 2
    )  # as they came
    assert outcomes.count(
        merge([outcomes_from(0, "accepted"), outcomes_from(0, "deferred"), outcomes_from(3, "deferred")])
    ) == {
        "accepted": 3,
        "deferred": 3,
    }
    assert outcomes.count(merge([outcomes_from(3, "deferred"), outcomes_from(0, "accepted")])) == {
        "accepted": 3,
        "deferred": 3,
    }
