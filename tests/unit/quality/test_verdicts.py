"""Verdicts as they are kept and said."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from angelia.contracts.rows import valid_rows
from angelia.errors import Corrupt, GateClosed
from angelia.lake import Lake, numbered
from angelia.quality import run_gate, verdicts
from angelia.quality.verdicts import load, load_with_seen, require_open, store
from tests.unit.quality.test_gates import DS, N, put, sources
from tests.unit.quality.week import GOOD

__all__ = ["sources"]


def test_newest_verdicts_win_and_a_replay_keeps_its_own(sources: Lake) -> None:
    good = sources.require("user_profiles", ds=DS)
    put(sources, "user_profiles", valid_rows("user_profiles", N).drop_columns(["gender"]))
    run_gate(sources, "sources", DS)
    replay = Lake(sources.store, "replay-1")
    assert verdicts(replay, DS) == []
    put(sources, "user_profiles", sources.read(good))
    run_gate(sources, "sources", DS)
    assert all(one["success"] for one in verdicts(sources, DS))
    assert len(list(sources.store.list(f"quality/main/{DS}/sources"))) == 2
    commands = [verdict.command for verdict in run_gate(replay, "sources", DS)]
    assert all(
        command.startswith(("ANGELIA_BRANCH=replay-1 angelia quality rows", "angelia lake log"))
        for command in commands
    )
    assert len(list(sources.store.list(f"quality/main/{DS}/sources"))) == 2


def test_a_sentence_names_column_count_share_and_limit() -> None:
    bad = replace(
        GOOD, success=False, n_bad=1_300, n_rows=10_000, bad_pct=13.0, tolerated_pct=1.0, breach="null"
    )
    assert bad.sentence() == "user_events.item: null in 1,300 of 10,000 rows (13 %, at most 1 % allowed)"
    assert replace(bad, tolerated_pct=0.0).sentence().endswith("rows (13 %)")
    few = replace(bad, n_bad=1, n_rows=10_000_000, bad_pct=0.00001, tolerated_pct=0.0)
    assert few.sentence().endswith("1 of 10,000,000 rows (0.000010 %)")
    assert replace(bad, column="a, b", n_rows=None).sentence() == "user_events: null"
    crashed = replace(bad, crashed=True, error="IOException").sentence()
    assert crashed == (
        "user_events.item: the check user_events.item.pattern crashed (IOException); "
        "the data may be good or bad"
    )


def test_a_warning_blocks_nothing_and_a_crash_always_does() -> None:
    assert not GOOD.blocks
    assert replace(GOOD, success=False).blocks
    assert not replace(GOOD, success=False, severity="warning").blocks
    assert replace(GOOD, success=False, severity="warning", crashed=True).blocks


def test_a_closed_gate_names_four_failures_and_how_many_more() -> None:
    require_open("sources", DS, [GOOD, replace(GOOD, success=False, severity="warning")])
    bad = [replace(GOOD, success=False, dataset=f"d{k}", command=f"look {k}") for k in range(6)]
    with pytest.raises(GateClosed) as refused:
        require_open("sources", DS, [GOOD, *bad])
    line = refused.value.one_line()
    assert [f"d{k}.item" in line for k in range(6)] == [True] * 4 + [False] * 2
    assert f"; and 2 more (angelia quality show --ds {DS}); see the rows: look 0" in line


def test_what_holds_no_verdicts_is_named_with_its_fix(lake: Lake) -> None:
    assert load(lake, "sources", DS) == []
    store(lake, "sources", DS, [GOOD], {"user_days": ["a"]})
    assert load_with_seen(lake, "sources", DS) == ([GOOD], {"user_days": ("a",)})
    # Older versions kept a list alone.
    numbered.store(lake, "sources", DS, [asdict(GOOD)])
    assert load_with_seen(lake, "sources", DS) == ([GOOD], {})
    for broken in ({"verdicts": [{"gate": "sources"}], "seen": {}}, {"seen": {}}, 3):
        numbered.store(lake, "sources", DS, broken)
        with pytest.raises(Corrupt, match="holds no verdicts") as refused:
            load(lake, "sources", DS)
        assert refused.value.fix == f"run `angelia quality check --gate sources --ds {DS}` again"
