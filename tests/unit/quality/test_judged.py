"""Jobs after a gate read exactly what it judged, and name what came in between."""

from __future__ import annotations

import argparse
import importlib
import pickle
from datetime import date, timedelta

import pytest

from angelia.contracts.rows import valid_rows
from angelia.errors import Corrupt, GateClosed, NotFound
from angelia.lake import Commit, Lake
from angelia.lake.store import LocalStore
from angelia.quality import run_gate
from angelia.quality.covered import commits_for, stand_before
from angelia.quality.gates import gate_of
from angelia.quality.judged import JudgedLake, judged_lake
from angelia.quality.verdicts import CheckVerdict, load, load_with_seen, store
from spark_jobs import JOBS
from spark_jobs.running.session import open_judged

DS = "2026-11-14"
SOURCES = ("user_profiles", "user_endpoints", "user_preferences", "user_events")
RECEIPTS = {"ds": DS, "source": "worker", "part": "p1"}
OLD_RECEIPTS = {**RECEIPTS, "ds": "2026-11-08"}


def put(lake: Lake, name: str, n: int = 40, **leaf: str) -> Commit:
    with lake.attempt(name, **(leaf or {"ds": DS})) as attempt:
        attempt.write(valid_rows(name, n), "part-0000.parquet")
        return attempt.publish()


def judge(lake: Lake, breach: str = "") -> None:
    """Store a verdict a dataset and what stood before, without the seconds of a check."""
    gate, verdicts = gate_of("sources"), []
    for name in (*gate.required, *gate.optional):
        if commits := tuple(commit.citation() for commit in commits_for(lake, name, DS)):
            about = (
                "sources",
                DS,
                name,
                f"{name}.x",
                None,
                "critical",
                not breach,
                False,
                None,
                None,
                None,
                0.0,
            )
            verdicts.append(CheckVerdict(*about, breach=breach, command="c", commits=commits))
    store(lake, "sources", DS, verdicts, stand_before(lake, gate.windows, DS))


@pytest.fixture
def judged(lake: Lake) -> Lake:
    """Return a lake whose sources of DS were judged, and found good."""
    for name in SOURCES:
        put(lake, name)
    put(lake, "push_receipts", **RECEIPTS)
    judge(lake)
    return lake


def bound(lake: Lake) -> Lake:
    return judged_lake(lake, DS, ("sources",), is_required=True)


def test_a_look_at_what_was_judged_is_one_listing(judged: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, asked, children = bound(judged), [], LocalStore.children
    monkeypatch.setattr(
        LocalStore, "children", lambda self, prefix: (asked.append(prefix), children(self, prefix))[1]
    )
    assert reader.require("user_events", ds=DS).number == 1
    assert asked == [f"main/user_events/ds={DS}/_commits"]


def test_a_commit_after_the_gate_is_not_read(judged: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    first = judged.require("user_events", ds=DS)
    assert bound(judged).require("user_events", ds=DS) == first
    assert capsys.readouterr().err == ""
    assert put(judged, "user_events", 41).number == 2
    for reader in (bound(judged), pickle.loads(pickle.dumps(bound(judged)))):
        assert reader.require("user_events", ds=DS) == first
        assert [commit.number for commit in reader.history("user_events", ds=DS)] == [1]
        with pytest.raises(NotFound, match="has no commit 2"):
            reader.as_of("user_events", 2, ds=DS)
        line = capsys.readouterr().err.strip()
        assert line == (
            f"user_events/ds={DS}: the gate sources of {DS} judged user_events/ds={DS}@1; a newer commit "
            "came in since and is not read; to read it, clear check_sources and all after it"
        )
    day_before = put(judged, "user_events", ds="2026-11-13").citation()
    run_gate(judged, "sources", DS)
    assert bound(judged).require("user_events", ds=DS).number == 2
    assert load_with_seen(judged, "sources", DS)[1]["user_events"] == (day_before,)
    assert "user_events: of 1 days before 2026-11-14, 0 stand as" in capsys.readouterr().err


def test_what_came_first_after_the_gate_is_not_read(judged: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    put(judged, "push_history")
    late = put(judged, "push_receipts", **{**RECEIPTS, "part": "p2"})
    reader = bound(judged)
    assert reader.head("push_history", ds=DS) is None
    assert reader.partitions("push_history") == []
    assert reader.partitions("push_receipts", ds=DS) == [RECEIPTS]
    assert reader.head("push_receipts", **late.partition) is None
    assert capsys.readouterr().err.count("judged nothing there; a commit came in since") == 2


def test_receipts_are_bound_as_far_as_late_rows_reach(judged: Lake) -> None:
    for back, is_read in ((3, False), (6, False), (7, True)):
        day = (date.fromisoformat(DS) - timedelta(days=back)).isoformat()
        put(judged, "push_receipts", **{**RECEIPTS, "ds": day})
        assert bool(bound(judged).partitions("push_receipts", ds=day)) == is_read


def test_days_no_gate_looked_at_are_read_as_they_stand(judged: Lake) -> None:
    put(judged, "user_events", ds="2026-10-01")
    put(judged, "user_days")  # made after the gate, and another gate's
    reader = bound(judged)
    assert reader.require("user_events", ds="2026-10-01").number == 1
    assert reader.require("user_days", ds=DS).number == 1


def test_a_gate_may_have_noted_more_days_than_settings_reach(
    judged: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = put(judged, "user_events", ds="2026-10-20")
    judge(judged)
    monkeypatch.setenv("ANGELIA_HISTORY_DAYS", "14")
    put(judged, "user_events", 41, ds="2026-10-20")
    assert bound(judged).require("user_events", ds="2026-10-20") == first
    assert "noted user_events/ds=2026-10-20@1; a newer commit" in capsys.readouterr().err
    judged.store.create(first.key.replace(".json", ".expired"), b"{}")
    with pytest.raises(NotFound, match="which the gate sources of 2026-11-14 judged, has expired"):
        bound(judged).require("user_events", ds="2026-10-20")


def test_days_before_are_read_as_the_gate_noted_them(
    judged: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    first, old = put(judged, "user_events", ds="2026-11-13"), put(judged, "push_receipts", **OLD_RECEIPTS)
    judge(judged)
    put(judged, "user_events", 41, ds="2026-11-13")
    put(judged, "user_events", 41, ds="2026-11-12")  # there was nothing
    put(judged, "user_events", 41, ds="2025-11-12")  # further back than any job of the night reads
    put(judged, "push_receipts", 41, **OLD_RECEIPTS)
    reader = bound(judged)
    assert reader.require("user_events", ds="2026-11-13") == first
    assert reader.head("user_events", ds="2026-11-12") is None
    assert [leaf["ds"] for leaf in reader.partitions("user_events")] == ["2025-11-12", "2026-11-13", DS]
    assert reader.require("push_receipts", **OLD_RECEIPTS) == old
    assert capsys.readouterr().err.splitlines()[0] == (
        f"user_events/ds=2026-11-13: the gate sources of {DS} noted user_events/ds=2026-11-13@1; a newer "
        "commit came in since and is not read; to read it, clear check_sources and all after it"
    )
    judge(judged)
    assert bound(judged).require("user_events", ds="2026-11-13").number == 2


def test_user_days_before_are_bound_by_their_gate(judged: Lake) -> None:
    put(judged, "user_days", ds="2026-11-10")
    before = stand_before(judged, gate_of("features").windows, DS)
    put(judged, "user_days", 41, ds="2026-11-10")
    reader = JudgedLake(judged, DS, {"features": []}, {"features": before})
    assert reader.require("user_days", ds="2026-11-10").number == 1
    assert bound(judged).require("user_days", ds="2026-11-10").number == 2, "jobs before it make them anew"


def test_writing_goes_on_with_the_next_number(judged: Lake) -> None:
    put(judged, "user_events", 41)
    assert put(bound(judged), "user_events", 42).number == 3
    assert judged.require("user_events", ds=DS).number == 3


def test_a_closed_gate_stops_the_jobs_after_it(judged: Lake) -> None:
    judge(judged, breach="no zone")
    with pytest.raises(GateClosed, match="gate sources of 2026-11-14 is closed: user_profiles: no zone"):
        judged_lake(judged, DS, ("sources",), is_required=False)


def test_a_gate_never_checked_binds_nothing_by_hand(judged: Lake) -> None:
    put(judged, "user_features")
    with pytest.raises(GateClosed) as refused:
        judged_lake(judged, DS, ("sources", "features"), is_required=True)
    assert refused.value.one_line() == (
        "the gate features of 2026-11-14 was never checked on branch main; "
        "run `angelia quality check --gate features --ds 2026-11-14`"
    )
    reader = judged_lake(judged, DS, ("sources", "features"), is_required=False)
    assert reader.require("user_features", ds=DS).number == 1
    assert judged_lake(judged, "2026-11-10", ("sources",), is_required=False) is judged


def test_a_replay_is_bound_to_its_own_verdicts(judged: Lake) -> None:
    replay = Lake(judged.store, "replay-x")
    assert judged_lake(replay, DS, ("sources",), is_required=False) is replay
    own = put(replay, "user_endpoints", 41)
    judge(replay)  # of main's commits, which it falls back to, but for its own endpoints
    put(replay, "user_endpoints", 42)
    put(judged, "user_events", 41)
    put(replay, "user_profiles", 41)
    reader = bound(replay)
    assert reader.require("user_events", ds=DS).ref == f"user_events/ds={DS}@1"
    assert reader.require("user_profiles", ds=DS).branch == "main"
    assert reader.require("user_endpoints", ds=DS) == own


def test_a_judged_commit_that_expired_is_named(judged: Lake) -> None:
    commit = judged.require("user_events", ds=DS)
    put(judged, "user_events", 41)
    judged.store.create(commit.key.replace(".json", ".expired"), b"{}")
    with pytest.raises(NotFound) as lost:
        bound(judged).require("user_events", ds=DS)
    assert lost.value.one_line() == (
        f"{commit.ref}, which the gate sources of {DS} judged, has expired; "
        f"run `angelia quality check --gate sources --ds {DS}` again"
    )


def test_other_content_under_the_judged_number_is_refused(judged: Lake) -> None:
    commit = judged.require("user_events", ds=DS)
    judged.store.delete(commit.key)
    put(judged, "user_events", 41)
    with pytest.raises(Corrupt, match="is not the commit that was cited"):
        bound(judged).require("user_events", ds=DS)


def test_every_job_of_the_night_opens_what_was_judged(judged: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spark_jobs.running.session.open_lake", lambda _: judged)
    put(judged, "user_events", 41)
    for name in JOBS:
        if name == "score_lookalikes":
            continue  # on demand, outside the night
        job = importlib.import_module(f"spark_jobs.{name}")
        args = job.arg_parser_for_job().parse_args(["--ds", DS])
        assert open_judged(args).require("user_events", ds=DS).number == 1, name
        assert job.open_judged is open_judged, name
        assert not hasattr(job, "open_lake"), name


def test_the_night_demands_the_verdicts_of_its_gates(judged: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spark_jobs.running.session.open_lake", lambda _: judged)
    args = argparse.Namespace(branch=None, ds="2026-11-13", after=("sources",), judged=True)
    assert load(judged, "sources", "2026-11-13") == []
    with pytest.raises(GateClosed, match="was never checked"):
        open_judged(args)
