"""What emit_manifests refuses before it writes anything, however it was started.

Each refusal is one line. tests/unit/lake/test_erase_night.py and tests/integration/test_loop.py test what it
writes.
"""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from angelia.asking.fate import fate_of
from angelia.contracts.certificate import Messages, messages_meta
from angelia.contracts.rows import valid_rows
from angelia.delivery.manifest.parts import seal
from angelia.errors import Conflict
from angelia.planning.guard import guard
from angelia.planning.routes.requests import ManifestCounts
from angelia.quality.verdicts import CheckVerdict, store
from angelia.users.one_person import PersonLake
from spark_jobs import emit_manifests
from spark_jobs.running.session import run_job
from tests.planned_night import DS, SALE, plan_a_night, put
from tests.unit.delivery.conftest import Bench, error
from tests.unit.delivery.given import OK

HOUR = "2026-11-15T09"


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


@pytest.fixture
def standing(planned, monkeypatch):
    """A manifest with one open hour, beside a job whose work on executors is left out."""
    ready(planned)
    put(planned, "user_endpoints", valid_rows("user_endpoints", 4))
    for name in ("spark_session", "planned_messages"):
        monkeypatch.setattr(emit_manifests, name, lambda *_: nullcontext())
    monkeypatch.setattr(emit_manifests, "outside_sealed", lambda *_: None)
    monkeypatch.setattr(emit_manifests, "with_addresses", lambda *_: (None, []))
    monkeypatch.setattr(emit_manifests, "write_rows", lambda *_: ManifestCounts())
    with planned.attempt("dispatch_manifest", ds=DS) as attempt:
        attempt.write(valid_rows("dispatch_manifest", 4), "part-0000.parquet", keys={"send_hour": HOUR})
        return attempt.publish()


def sealing(lake, monkeypatch, name):
    """Let a worker seal an hour just before the job goes on to a step, the first time."""
    go_on, seals = getattr(emit_manifests, name), [HOUR]

    def step(*words):
        if seals:
            seal(lake, DS, seals.pop(), "2026-11-15T09:00:00+00:00")
        return go_on(*words)

    monkeypatch.setattr(emit_manifests, name, step)


def test_an_hour_sealed_meanwhile_ends_the_attempt(planned, standing, capsys, monkeypatch):
    """It goes by the manifest before, and this one may put its messages elsewhere."""
    sealing(planned, monkeypatch, "write_rows")
    assert emit(capsys) == (
        2,
        f"error: workers began to send {HOUR} while manifests were written; rerun emit_manifests",
    )
    assert planned.require("dispatch_manifest", ds=DS) == standing


def test_an_hour_sealed_at_the_last_instant_sends_nothing_twice(planned, standing, capsys, monkeypatch):
    """Between the look at seals and the commit: no other hour is sealed to that commit."""
    sealing(planned, monkeypatch, "publish")
    later = "2026-11-15T10"
    code, line = emit(capsys)
    ignorant = planned.require("dispatch_manifest", ds=DS)
    assert (code, ignorant.number) == (2, standing.number + 1)
    assert line.startswith(f"error: workers began to send {HOUR} while {ignorant.ref} was published")
    assert line.endswith("nothing is sent by that one; rerun emit_manifests")
    with pytest.raises(Conflict, match="nothing is sent by that one"):
        seal(planned, DS, later, "2026-11-15T10:00:00+00:00")
    assert emit(capsys)[0] == 0
    manifest = planned.require("dispatch_manifest", ds=DS)
    assert seal(planned, DS, later, "2026-11-15T10:00:00+00:00") == manifest
    assert [entry.identity for entry in manifest.files] == [entry.identity for entry in standing.files]
    assert seal(planned, DS, HOUR, "2026-11-15T10:00:00+00:00") == standing


@pytest.mark.slow
@pytest.mark.usefixtures("spark")
def test_a_message_to_all_devices_is_one_message(lake, settings_home, monkeypatch):
    """From the plan to what is said of a person: three devices, of which one is gone."""
    plan_a_night(lake, SALE | {"devices": "all"})
    ready(lake)
    rows = valid_rows("user_endpoints", 8).to_pylist()[:6]
    people = [row["user_id"] for row in lake.read(lake.require("user_features", ds=DS)).to_pylist()]
    phone = rows[0] | {"channel": "fcm", "is_active": True, "permission": None}
    phones = [phone | {"user_id": people[n % 4], "address": f"t{n}"} for n in range(10)]
    put(lake, "user_endpoints", pa.Table.from_pylist(phones, valid_rows("user_endpoints", 1).schema))
    assert run_job(emit_manifests.main, ["--ds", DS]) == 0
    manifest = lake.require("dispatch_manifest", ds=DS)
    assert (manifest.rows, manifest.meta["n_messages"]) == (10, 4)
    assert manifest.meta["requests_a_message"] == {"channels": {"fcm": 2.5}, "campaigns": {"sale": 2.5}}
    assert dict(manifest.rejects) == {"no_address": 4}, "people are counted, not devices"
    sent = lake.read(manifest).to_pylist()
    assert {row["address"] for row in sent if row["user_id"] == people[0]} == {"t0", "t4", "t8"}
    gone = error(404, "UNREGISTERED")
    bench = Bench(lake, monkeypatch)
    first = bench.deliver(lambda _, message: gone if message["token"] == "t4" else OK, hours=(HOUR,))
    assert first.delivered == {"accepted": 9, "rejected": 1}
    assert bench.deliver(hours=(HOUR,)).delivered == {}, "nothing is left, and nothing goes twice"
    slot = datetime(2026, 11, 15, 9, tzinfo=UTC)
    fate = fate_of(lake, PersonLake(lake, 0, 14), DS, "sale", f"{0:032x}", slot)
    assert (fate.state, fate.channel, fate.devices) == ("accepted", "fcm", (2, 3))
    # A plan made anew, with other messages for later: no plan counted them beside what is sealed.
    decisions = lake.read(lake.require("decisions", ds=DS))
    again = decisions.to_pylist()
    for row in again:
        other = {"message_id": f"f{row['choices'][0]['message_id'][1:]}", "slot": slot + timedelta(hours=5)}
        row["choices"][0] |= other
    put(lake, "decisions", pa.Table.from_pylist(again, decisions.schema))
    ready(lake, "2026-11-15T14")
    assert run_job(emit_manifests.main, ["--ds", DS]) == 0
    manifest = lake.require("dispatch_manifest", ds=DS)
    assert dict(manifest.rejects) == {"beside_sealed": 4, "no_address": 4}
    assert {entry.keys["send_hour"] for entry in manifest.files} == {HOUR}


@pytest.mark.slow
@pytest.mark.usefixtures("spark")
def test_every_planned_message_is_explained(lake, settings_home, capsys):
    """Of eight people one has a phone, one a phone that is another's now, and six none."""
    plan_a_night(lake)
    ready(lake)
    people = [row["user_id"] for row in lake.read(lake.require("user_features", ds=DS)).to_pylist()]
    rows = valid_rows("user_endpoints", 3)
    phone = rows.to_pylist()[0] | {"channel": "fcm", "is_active": True, "permission": None, "address": "t0"}
    mine = phone | {"user_id": people[0], "registered_ts": datetime(2026, 11, 2, tzinfo=UTC)}
    once = phone | {"user_id": people[1], "registered_ts": datetime(2026, 11, 1, tzinfo=UTC)}
    put(lake, "user_endpoints", pa.Table.from_pylist([mine, once], rows.schema))
    assert run_job(emit_manifests.main, ["--ds", DS]) == 0
    manifest = lake.require("dispatch_manifest", ds=DS)
    assert manifest.rows == 1
    assert dict(manifest.rejects) == {"address_of_another": 1, "no_address": 6}
    # A plan that counts a message more than its rows hold: it must not pass for one without an address.
    ready(lake, n=9)
    assert emit(capsys) == (
        2,
        "error: 9 messages are planned, 1 written and 7 left out for a reason, 1 too few; nothing was "
        "published; run `angelia lake verify`, then plan_dispatch and emit_manifests again",
    )
    assert lake.require("dispatch_manifest", ds=DS).ref == manifest.ref


def ready(lake, hour=HOUR, n=8):
    """Give the night an index, the meta of its plan, and open verdicts of gate and guard."""
    with lake.attempt("user_index", chain="0") as attempt:
        attempt.write(valid_rows("user_index", 8), "part-0000.parquet")
        index = attempt.publish(meta={"n_users": 8, "shard_bits": 14})
    commit = lake.require("decisions", ds=DS)
    start = {"start": "2026-11-15T04:00:00+00:00"}
    meta = {**start, **commit.meta, "messages": messages_meta([Messages(hour, "fcm", "sale", n)])}
    put(lake, "decisions", lake.read(commit), meta=meta, inputs=[index])
    check_plan(lake)
    guard(lake, DS)


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
