"""What emit_manifests refuses before it writes anything, however it was started.

Each refusal is one line. tests/unit/lake/test_erase_night.py and tests/integration/test_loop.py test what it
writes.
"""

import pyarrow as pa
import pytest

from angelia.catalog.snapshot import load_snapshot
from angelia.contracts.certificate import Messages, messages_meta
from angelia.contracts.rows import valid_rows
from angelia.planning.guard import guard
from angelia.quality.verdicts import CheckVerdict, store
from spark_jobs import emit_manifests
from spark_jobs.running.session import run_job
from tests import planned_night
from tests.planned_night import DS, SALE, plan_a_night, put


@pytest.fixture
def planned(lake, settings_home):
    """A night that waits for approval: its gate is open, and its guard holds the sale back."""
    plan_a_night(lake, SALE | {"approval_required": True})
    check_plan(lake)
    guard(lake, DS)
    return lake


def check_plan(lake):
    """Keep an open verdict of the gate on the newest plan."""
    commits = (lake.require("decisions", ds=DS).citation(),)
    check = CheckVerdict(
        "plan", DS, "decisions", "decisions.partition.exists", None, "critical", True, False, 8,
        0, 0.0, 0.0, "no commit", "angelia lake log decisions", commits,
    )  # fmt: skip
    store(lake, "plan", DS, [check])


def emit(capsys, *words):
    """Run the job; return its exit code and the last line that it wrote."""
    code = run_job(emit_manifests.main, ["--ds", DS, *words])
    return code, capsys.readouterr().err.splitlines()[-1]


def test_a_plan_that_nobody_judged_is_not_emitted(lake, settings_home, capsys):
    plan_a_night(lake)
    code, line = emit(capsys)
    assert code == 2
    assert line.startswith("error: the gate plan of 2026-11-14 has no verdict, nothing is emitted; run ")


def test_a_plan_that_nobody_judged_is_not_emitted_for_any_answer(lake, settings_home, capsys):
    plan_a_night(lake)
    words = ("--answer", "Approve", "--answered-by", "ada", "--verdict", "0123456789ab")
    assert emit(capsys, *words)[0] == 2
    assert lake.head("dispatch_manifest", ds=DS) is None


def test_a_night_held_back_is_not_emitted_by_hand(planned, capsys):
    commit = planned.require("user_features", ds=DS)
    put(planned, "user_features", planned.read(commit), meta=commit.meta, rejects={"timezone_null": 8})
    assert guard(planned, DS)["verdict"] == "night"
    for words in ((), ("--without", ""), ("--answer", "Approve"), ("--answered-by", "ada")):
        code, line = emit(capsys, *words)
        assert code == 2
        assert line.startswith(f"error: the guard holds back the night of {DS} (")
    assert planned.head("dispatch_manifest", ds=DS) is None


def test_rows_carry_the_persons_quiet_hours_joined(lake, settings_home, monkeypatch):
    monkeypatch.setitem(planned_night.POLICY, "quiet_hours", {"start": 22, "end": 8})
    plan_a_night(lake)
    features = lake.read(lake.require("user_features", ds=DS)).sort_by("ordinal")
    for name, own in (("quiet_start", 20), ("quiet_end", 23)):
        at = features.schema.get_field_index(name)
        values = pa.array([own if row == 3 else None for row in range(8)], features.schema.field(at).type)
        features = features.set_column(at, features.schema.field(at), values)
    put(lake, "user_features", features, meta={"n_users": 8})
    commits = (lake.require(name, ds=DS) for name in ("decisions", "user_features"))
    rows = emit_manifests.messages_of_shard(lake, *commits, load_snapshot(lake, DS), [], 0)
    spans = list(zip(rows["quiet_start"].to_pylist(), rows["quiet_end"].to_pylist(), strict=True))
    assert spans == [(20, 8) if row == 3 else (22, 8) for row in range(8)]


@pytest.mark.slow
@pytest.mark.usefixtures("spark")
def test_what_the_guard_holds_goes_only_with_an_answer_to_it(planned, capsys):
    with planned.attempt("user_index", chain="0") as attempt:
        attempt.write(valid_rows("user_index", 8), "part-0000.parquet")
        index = attempt.publish(meta={"n_users": 8, "shard_bits": 14})
    put(planned, "user_endpoints", valid_rows("user_endpoints", 8))
    commit = planned.require("decisions", ds=DS)
    meta = {**commit.meta, "messages": messages_meta([Messages("2026-11-15T09", "fcm", "sale", 8)])}
    put(planned, "decisions", planned.read(commit), meta=meta, inputs=[index])
    check_plan(planned)
    name = guard(planned, DS)["verdict_id"]
    stale = ("--answer", "Send them, too", "--answered-by", "ada", "--verdict", "0123456789ab")
    nobody = ("--answer", "Send them, too", "--answered-by", "", "--verdict", name)
    for words, why in (((), "nobody answered"), (stale, "the answer is about"), (nobody, "no named person")):
        assert run_job(emit_manifests.main, ["--ds", DS, *words]) == 0
        assert f"the guard holds back sale ({why}" in capsys.readouterr().err
        manifest = planned.require("dispatch_manifest", ds=DS)
        assert (manifest.rows, dict(manifest.rejects)) == (0, {"held_back": 8})
        assert manifest.params == {"held_back": ["sale"]}
        assert manifest.meta["verdict"] == name
        assert "answered_by" not in manifest.meta
    words = ("--answer", "Send them, too", "--answered-by", "ada", "--verdict", name)
    assert run_job(emit_manifests.main, ["--ds", DS, *words]) == 0
    manifest = planned.require("dispatch_manifest", ds=DS)
    assert manifest.rows + sum(manifest.rejects.values()) == 8
    assert manifest.rows > 0
    assert (manifest.meta["verdict"], manifest.meta["answered_by"]) == (name, "ada")
