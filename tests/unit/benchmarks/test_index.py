"""The index benchmark runs, and a peer's sets are ours, at a size that measures nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import index
from benchmarks.measured import index_content

ROOT = Path(__file__).parents[3]


@pytest.mark.integration
def test_ours_and_a_peer_make_the_same_sets() -> None:
    command = [sys.executable, "-m", "benchmarks", "index", "--users", "5000", "--peers", "duckdb_list"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["notes"]["sets_compared"] > 1000
    for figures in (result["ours"], result["peers"]["duckdb_list"]):
        assert set(figures) == {"users_per_s", "bytes_per_user", "peak_rss_gib", "seconds", "cpu_s"}
        assert all(value > 0 for value in figures.values())


def test_other_sets_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(index, "run", lambda *args, **kwargs: (1.0, 1.0, 1.0))
    monkeypatch.setattr(index_content, "ours", lambda lake: ({"gender=f": 2}, {"age_years": 9}))
    monkeypatch.setattr(index_content, "peer", lambda folder: ({"gender=f": 2}, {"age_years": 8}))
    with pytest.raises(
        index.InvalidInput,
        match=r"duckdb_list made other sets than ours: 1 differ, such as \[\('age_years', 9, 8\)\]",
    ):
        index.main(["--users", "100", "--peers", "duckdb_list", "--folder", str(tmp_path)])
