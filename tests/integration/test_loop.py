"""The whole loop on a small population through a real Airflow run, as `make run` does it.

It runs twice (the second time without Airflow), and a day with a broken source follows.
"""

import itertools
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from angelia.asking.whatif import what_if
from angelia.asking.why import why
from angelia.catalog.snapshot import load_snapshot
from angelia.commands import loop
from angelia.commands.loop import PROJECT, Steps, environment, sandbox
from angelia.lake import Lake
from angelia.planning.guard import is_nightly
from models.registry import Registry
from tests.nights import run_night

DS, NEXT = "2026-11-14", "2026-11-15"
pytestmark = [pytest.mark.integration, pytest.mark.slow]


def angelia(home: Path, *words: str) -> subprocess.CompletedProcess:
    env = {**os.environ, **environment(home), "ANGELIA_SHARD_BITS": "9"}
    return subprocess.run(
        [sys.executable, "-m", "angelia.cli", *words],
        env=env,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Return a home (its path has a space) in which the loop ran once, on 1,500 people."""
    folder = tmp_path_factory.mktemp("the loop") / "angelia home"
    done = angelia(folder, "loop", "--users", "1500", "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def summary(home) -> dict:
    return json.loads((home / "summary.json").read_text())


@pytest.fixture
def lake(home) -> Lake:
    return Lake.open(str(home / "lake"))


def test_every_message_is_accounted_for(home, summary, lake):
    planned = summary["decisions"]["sent"]
    manifest = lake.require("dispatch_manifest", ds=DS)
    assert planned > 300
    assert manifest.rows + sum(manifest.rejects.values()) == planned
    assert summary["manifest_rows"] == manifest.rows == sum(summary["delivered"].values())
    assert summary["manifest_parts"] == len(manifest.files)
    assert summary["users"] == lake.require("user_index", chain="0").meta["n_users"]
    assert 0 < summary["opens"] < summary["delivered"]["accepted"]
    assert set(summary["audiences"]) >= {"browsers"}
    assert Path(summary["report"]).is_file() or (home / summary["report"]).is_file()


def test_the_provider_saw_each_dispatch_once(home, lake):
    counts = json.loads(next((home / "sandbox").glob("stats*.json")).read_text())
    ledger = [
        lake.read(lake.require("delivery_ledger", **part))
        for part in lake.partitions("delivery_ledger", ds=DS)
    ]
    accepted = sum(pc.sum(pc.equal(table["outcome"], "accepted")).as_py() for table in ledger)
    assert counts["unique"] == accepted
    assert counts["doubled"] == 0


def test_nobody_gets_what_they_must_not(lake):
    """Caps, gap, quiet hours, consent: read back from the manifest, not from the planner."""
    rows = pa.concat_tables([lake.read(lake.require("dispatch_manifest", ds=DS))])
    features = lake.read(
        lake.require("user_features", ds=DS), ["user_id", "opted_out_topics", "is_suppressed", "timezone"]
    ).to_pylist()
    person = {row["user_id"]: row for row in features}
    by_user: dict[str, list] = {}
    for row in rows.to_pylist():
        who = person[row["user_id"]]
        assert not who["is_suppressed"]
        if row["guarantee"] == "at_least_once":
            continue
        assert row["topic"] not in who["opted_out_topics"]
        hour = row["send_ts"].astimezone(ZoneInfo(who["timezone"])).hour
        assert 8 <= hour < 22
        by_user.setdefault(row["user_id"], []).append(row["send_ts"])
    assert by_user
    for slots in by_user.values():
        slots.sort()
        assert len(slots) <= 2
        assert all((b - a).total_seconds() >= 4 * 3600 for a, b in itertools.pairwise(slots))


def test_a_question_about_anybody_is_answered_whole(home, lake):
    """Somebody of each outcome, and somebody of no audience: nothing is left unexplained."""
    asked, registry = {}, Registry.open(home / "models")
    rows = lake.read(lake.require("decisions", ds=DS)).to_pylist()
    for row in rows:
        for choice in row["choices"]:
            asked.setdefault(choice["outcome"], row["user_id"])
    everybody = set(lake.read(lake.require("user_index", chain="0"), ["user_id"])["user_id"].to_pylist())
    asked["nobody's"] = min(everybody - {row["user_id"] for row in rows})
    assert {"sent", "capped", "not_chosen", "holdout_campaign"} <= set(asked)
    for outcome, user in asked.items():
        answer = why(lake, user, DS, registry=registry)
        assert answer.notes == ()
        assert answer.versions.bitmap_index is not None
        by_campaign = {one.campaign: one for one in answer.campaigns}
        assert set(by_campaign) == set(load_snapshot(lake, DS).campaigns)
        assert outcome == "nobody's" or outcome in {one.outcome for one in by_campaign.values()}
        for each in by_campaign.values():
            is_out = each.outcome == "not_in_audience"
            assert (each.clauses[0].truth == "held") != is_out
            assert any(clause.decides and clause.depth for clause in each.clauses) or len(each.clauses) == 1
            if each.score is not None:
                assert each.score.parts
            if each.outcome == "sent":
                assert each.fate.state in ("accepted", "rejected", "skipped")
                assert each.offers[0].worth_micros == each.worth_micros


def test_with_nothing_set_the_night_is_solved_the_same(home, lake):
    answer = what_if(lake, DS, {})
    assert answer.total.plan == answer.total.what_if
    assert {n for one in answer.moves.values() for n in (one.gained, one.lost, one.moved)} == {0}
    assert answer.certificates["plan"] == answer.certificates["what_if"]


def test_a_second_run_decides_the_same_bytes_and_sends_nothing(home, summary, spark, monkeypatch, capsys):
    """All steps are the loop's own, but for Airflow, which takes minutes."""
    for name, value in {**environment(home), "ANGELIA_SHARD_BITS": "9"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(loop, "night", lambda steps, lake, ds: run_night(home, ds, shard_bits=9))
    manifests = Lake.open(str(home / "lake")).require("dispatch_manifest", ds=DS)
    loop.command(users=1500, ds=DS)
    again = json.loads((home / "summary.json").read_text())
    assert Lake.open(str(home / "lake")).require("dispatch_manifest", ds=DS).number > manifests.number
    assert again["manifest_sha256"] == summary["manifest_sha256"]
    assert f"already delivered: {summary['manifest_rows']:,}" in capsys.readouterr().out
    assert again["delivered"] == summary["delivered"]
    assert again["decisions"] == summary["decisions"]


def test_the_hourly_dag_sends_what_is_due_and_nothing_twice(home, lake, tmp_path):
    """A copy of the home before delivery; the plan's hour 18 is dispatched twice, at 18:05 UTC."""
    other = tmp_path / "home"
    shutil.copytree(
        home,
        other,
        ignore=shutil.ignore_patterns("logs", "claims", "done", "intents", "outcomes", "seals", "released"),
    )
    rows = lake.read(lake.require("dispatch_manifest", ds=DS), ["send_ts", "dispatch_id"])
    now = datetime(2026, 11, 15, 18, 5, tzinfo=UTC)
    conf = json.dumps({"now": now.isoformat(), "clock": "simulated"})
    steps = Steps(other)
    with sandbox(steps) as at:
        for _ in range(2):
            run = [
                sys.executable,
                "-m",
                "airflow",
                "dags",
                "test",
                "hourly_dispatch",
                now.isoformat(),
                "--conf",
                conf,
            ]
            done = subprocess.run(
                run,
                env={**steps.env, **at},
                cwd=PROJECT,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    received = json.loads((other / "sandbox" / "received.json").read_text())
    assert set(received.values()) == {1}
    started = rows.filter(
        pc.less_equal(rows["send_ts"], pa.scalar(now + timedelta(minutes=54), pa.timestamp("us", "UTC")))
    )
    assert 0 < len(received) <= started.num_rows
    assert set(received) <= set(started["dispatch_id"].to_pylist())


def test_a_campaign_held_back_is_left_out_and_counted(home, lake):
    plan = lake.require("decisions", ds=DS)
    env = Steps(home).env
    job = [sys.executable, "spark_jobs/emit_manifests.py", "--ds", DS, "--branch", "replay-held", "--without"]
    done = subprocess.run(
        [*job, "price_drop"], env=env, cwd=PROJECT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    replayed = Lake.open(str(home / "lake"), branch="replay-held").require("dispatch_manifest", ds=DS)
    assert replayed.rejects["held_back"] == plan.meta["by_campaign"]["price_drop"] > 0
    assert replayed.rows + sum(replayed.rejects.values()) == plan.meta["outcomes"]["sent"]
    assert "price_drop" not in set(lake.read(replayed, ["campaign_id"]).column(0).to_pylist())
    wrong = subprocess.run(
        [*job, "price_dorp"], env=env, cwd=PROJECT, capture_output=True, text=True, timeout=300, check=False
    )
    assert wrong.returncode == 2
    assert "price_dorp" in wrong.stderr


def test_a_broken_day_leaves_yesterdays_manifests(home, lake):
    before = lake.require("dispatch_manifest", ds=DS)
    profiles = lake.require("user_profiles", ds=NEXT)  # written by respond, for the next night
    table = lake.read(profiles)
    gone = pa.array(
        [None if i % 10 < 3 else zone for i, zone in enumerate(table["timezone"].to_pylist())], pa.string()
    )
    with lake.attempt("user_profiles", ds=NEXT) as attempt:
        attempt.write(
            table.set_column(table.schema.get_field_index("timezone"), "timezone", gone),
            "part-0000.parquet",
            conform=False,
        )
        attempt.publish()
    env = Steps(home).env
    words = [
        "dags",
        "test",
        "nightly_personalization",
        f"{NEXT}T02:00:00+00:00",
        "--conf",
        '{"mode": "plan", "clock": "simulated", "ask": false}',
    ]
    run = subprocess.run(
        [sys.executable, "-m", "airflow", *words],
        env=env,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    printed = run.stdout + run.stderr
    assert run.returncode != 0
    for word in ("user_profiles", "timezone", "angelia quality rows"):
        assert word in printed
    assert lake.head("dispatch_manifest", ds=NEXT) is None
    assert lake.require("dispatch_manifest", ds=DS).sha256 == before.sha256


def test_the_guard_compares_a_plan_with_the_nights_before_it(home, summary, lake):
    first = json.loads(angelia(home, "plan", "guard", "--ds", DS, "--json").stdout)
    assert first["history"] == "no history"
    assert sum(first["figures"]["messages"].values()) == summary["decisions"]["sent"]
    assert set(first["figures"]["rendered"]) == set(first["figures"]["messages"])
    assert first["figures"]["unrendered"] == {}
    usual = {
        **first["figures"],
        "messages": {name: 20 * n for name, n in first["figures"]["messages"].items()},
    }
    for day in range(1, 8):
        key = f"quality/main/{date.fromisoformat(DS) - timedelta(days=day)}/guard/0001.json"
        lake.store.create(key, json.dumps({"figures": usual}).encode())
    second = json.loads(angelia(home, "plan", "guard", "--ds", DS, "--json").stdout)
    assert second["verdict"] == "night"
    assert second["breaches"][0]["check"] == "volume"
    # Weekly ones are compared with nights of the same weekday, of which there are too few.
    campaigns = load_snapshot(lake, DS).campaigns
    assert second["held"] == sorted(
        name for name in first["figures"]["messages"] if is_nightly(campaigns[name])
    )
    assert set(second["held"]) < set(first["figures"]["messages"])


def test_a_night_held_back_goes_only_with_an_answer_to_it(home, lake):
    """By hand as by Airflow: `emit_manifests` itself reads what the guard said last."""
    verdict = json.loads(angelia(home, "plan", "guard", "--ds", DS, "--json").stdout)
    assert verdict["verdict"] == "night"
    before = lake.require("dispatch_manifest", ds=DS)
    job = [sys.executable, "spark_jobs/emit_manifests.py", "--ds", DS]
    answer = ["--answer", "Approve", "--answered-by", "ada", "--verdict"]
    for words, code in (
        ([], 2),
        (["--without", ""], 2),
        ([*answer, "0123456789ab"], 2),
        ([*answer, verdict["verdict_id"]], 0),
    ):
        done = subprocess.run(
            [*job, *words],
            env=Steps(home).env,
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stderr[-2000:]
        if code:
            assert "error: the guard holds back the night" in done.stderr
            assert lake.require("dispatch_manifest", ds=DS).number == before.number
    manifest = lake.require("dispatch_manifest", ds=DS)
    assert (manifest.number, manifest.meta["answered_by"]) == (before.number + 1, "ada")
    assert [entry.sha256 for entry in manifest.files] == [entry.sha256 for entry in before.files]
