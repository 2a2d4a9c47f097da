"""A night whose campaign may wait: who has a better night is counted, and told when."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from angelia.asking import shown
from angelia.contracts.rows import valid_rows
from angelia.lake import Lake
from spark_jobs import plan_dispatch
from tests.unit.spark_jobs.test_plan_dispatch import CAMPAIGNS, DS, FATIGUE, N, settle, write


def settle_waiting(patch: pytest.MonkeyPatch, home: Path, shard_bits: int) -> Lake:
    """Return a night whose sale may wait; every other person is best met at a workday.s noon."""
    patch.setitem(CAMPAIGNS[0], "occurrence", {"every": "once"})
    patch.setitem(CAMPAIGNS[0], "postpone_nights", 3)
    patch.setitem(FATIGUE, "refuses_more", 0.0)  # else people wait for rest as well
    lake = settle(patch, home, shard_bits)
    even, noon = [1.0] * 24, [3.0 if hour == 12 else 1.0 for hour in range(24)]
    table = valid_rows("send_times", N, ds=DS)
    for name, own in (("workday", noon), ("day_off", even)):
        at, field = table.schema.get_field_index(name), table.schema.field(name)
        curves = pa.array([own if i % 2 else even for i in range(N)], field.type)
        table = table.set_column(at, field, curves)
    write(lake, "send_times", table)
    return lake


def test_who_has_a_better_night_waits_and_is_counted(tmp_path: Path) -> None:
    """It is Sunday's plan; on Monday, a workday, noon is open to every other person."""
    planned = {}
    for shard_bits in (8, 9):
        with pytest.MonkeyPatch.context() as patch:
            lake = settle_waiting(patch, tmp_path / str(shard_bits), shard_bits)
            plan_dispatch.main(["--ds", DS])
        commit = lake.require("decisions", ds=DS)
        people = lake.read(commit).to_pylist()
        planned[shard_bits] = [
            (row["ordinal"], choice) for row in people for choice in row["choices"]
            if choice["campaign_id"] == "sale"
        ]  # fmt: skip
        counts = Counter(choice["outcome"] for row in people for choice in row["choices"])
        assert commit.meta["outcomes"] == dict(sorted(counts.items()))
        # Monday's noon is the next, so it is the night of nearly all.
        waits = commit.meta["waits"]
        assert sum(waits.values()) == counts["better_night"]
        assert max(waits, key=waits.__getitem__) == "2026-11-16"
        page = "\n".join(shown.lines(shown.shown(lake, DS)))
        assert f"better_night: Monday, 2026-11-16: {waits['2026-11-16']}" in page
    assert planned[8] == planned[9]
    # On Lord Howe's clock Monday's noon is a part of this night.
    zones = valid_rows("user_features", N, ds=DS)["timezone"].to_pylist()
    odd, even, there = Counter(), Counter(), Counter()
    for i, choice in planned[8]:
        if not choice["is_explore"]:
            side = even if i % 2 == 0 else there if zones[i] == "Australia/Lord_Howe" else odd
            side[choice["outcome"]] += 1
    assert odd["better_night"] > 150
    assert odd["sent"] == odd["not_chosen"] == odd["no_capacity"] == 0
    # Others wait only to feel less of another message.
    assert there["sent"] > there["better_night"]
    assert even["sent"] > even["better_night"]
