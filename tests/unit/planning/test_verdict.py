"""What may be emitted of a plan: what was judged, and what a person's answer releases."""

import json
from dataclasses import replace

import pytest

from angelia.answers import OperatorAnswer
from angelia.catalog.snapshot import load_snapshot
from angelia.contracts.rows import valid_rows
from angelia.errors import Corrupt, GateClosed, NotFound
from angelia.lake import Lake, numbered
from angelia.planning.guard import guard
from angelia.planning.verdict import OFFERED, Released, identified, release
from angelia.quality.verdicts import CheckVerdict, load_with_seen, store
from tests.planned_night import DS, SALE, decide, plan_a_night, put

SEND, LEAVE = OFFERED["campaigns"]


def check_plan(lake, *, success=True):
    """Keep what the gate says of the newest plan, and what its invariants read beside it."""
    commits = (lake.require("decisions", ds=DS).citation(),)
    check = CheckVerdict(
        "plan", DS, "decisions", "decisions.sent.not_opted_out", None, "critical", success, False, 8,
        0 if success else 3, 0.0, 0.0, "people who refused the topic", "angelia quality rows", commits,
    )  # fmt: skip
    features, catalog = lake.require("user_features", ds=DS), load_snapshot(lake, DS).commit
    seen = {"user_features": [features.citation()], "catalog_snapshot": [catalog.citation()]}
    store(lake, "plan", DS, [check], seen)


@pytest.fixture
def held(lake):
    """A night whose gate is open, and whose guard holds the sale back until a person wants it."""
    plan_a_night(lake, SALE | {"approval_required": True})
    check_plan(lake)
    assert guard(lake, DS)["verdict"] == "campaigns"
    return lake


def emitted(lake, answer=None):
    """Return what may be emitted of the newest plan."""
    others = [lake.require("user_features", ds=DS), load_snapshot(lake, DS).commit]
    return release(lake, lake.require("decisions", ds=DS), others, answer or OperatorAnswer())


def verdict_id(lake):
    return numbered.load(lake, "guard", DS)[1]["verdict_id"]


def test_an_open_verdict_holds_nothing_back(lake):
    plan_a_night(lake)
    check_plan(lake)
    named = guard(lake, DS)["verdict_id"]
    assert emitted(lake) == Released(verdict_id=named)
    assert emitted(lake).recorded() == {"verdict": named}


def test_a_named_answer_to_this_verdict_sends_what_is_held(held):
    released = emitted(held, OperatorAnswer(SEND, "ada", verdict_id(held)))
    assert released == Released((), verdict_id(held), "ada")
    assert released.recorded() == {"verdict": verdict_id(held), "answered_by": "ada"}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (OperatorAnswer(), "nobody answered"),  # marked as success, skipped, run by hand: there is no answer
        (OperatorAnswer(SEND, "", "right"), "no named person answered"),
        (OperatorAnswer(SEND, "  ", "right"), "no named person answered"),
        (OperatorAnswer(LEAVE, "", "right"), "no named person answered"),  # timed out
        (
            OperatorAnswer("Approve", "ada", "right"),
            "'Approve' was not offered: Send them, too, Leave them out were",
        ),
        (OperatorAnswer(f"{SEND}, {LEAVE}", "ada", "right"), "was not offered"),
        (OperatorAnswer(SEND, "ada", ""), "the answer is about nothing that it names, the question about"),
        (OperatorAnswer(SEND, "ada", "0123456789ab"), "the answer is about 0123456789ab, the question about"),
    ],
)
def test_anything_else_leaves_out_what_is_held(held, answer, why):
    if answer.about == "right":
        answer = replace(answer, about=verdict_id(held))
    released = emitted(held, answer)
    assert (released.held, released.answered_by) == (("sale",), None)
    assert why in released.refused


def test_a_person_who_leaves_them_out_is_recorded(held):
    assert emitted(held, OperatorAnswer(LEAVE, "ada", verdict_id(held))) == Released(
        ("sale",), verdict_id(held), "ada"
    )


@pytest.fixture
def night(lake):
    """A night that the guard holds back whole."""
    plan_a_night(lake)
    rejects = {"timezone_null": 5}
    put(lake, "user_features", valid_rows("user_features", 8), meta={"n_users": 8}, rejects=rejects)
    check_plan(lake)
    assert guard(lake, DS)["verdict"] == "night"
    return lake


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (OperatorAnswer(), "nobody answered"),
        (OperatorAnswer("Approve", "", "right"), "no named person answered"),
        (OperatorAnswer("Approve", "ada", "0123456789ab"), "the answer is about 0123456789ab"),
        (OperatorAnswer(SEND, "ada", "right"), "'Send them, too' was not offered"),
        (OperatorAnswer("Reject", "ada", "right"), "the answer was Reject"),
    ],
)
def test_a_night_held_back_stops_without_an_approval(night, answer, why):
    if answer.about == "right":
        answer = replace(answer, about=verdict_id(night))
    with pytest.raises(GateClosed) as stopped:
        emitted(night, answer)
    assert f"the guard holds back the night of {DS} ({why}" in stopped.value.message
    assert "ada" not in stopped.value.one_line()
    assert f"--answer Approve --answered-by NAME --verdict {verdict_id(night)}" in stopped.value.fix


def test_a_night_that_a_person_approved_is_sent(night):
    assert emitted(night, OperatorAnswer("Approve", "ada", verdict_id(night))) == Released(
        (), verdict_id(night), "ada"
    )


AGAIN = f"run `angelia quality check --gate plan --ds {DS}`, then `angelia plan guard --ds {DS}`"


def test_without_a_gates_verdict_nothing_is_emitted(lake):
    plan_a_night(lake)
    guard(lake, DS)
    with pytest.raises(NotFound, match="the gate plan of 2026-11-14 has no verdict") as stopped:
        emitted(lake)
    assert stopped.value.fix.startswith(AGAIN)


def test_without_a_guards_verdict_nothing_is_emitted(lake):
    plan_a_night(lake)
    check_plan(lake)
    with pytest.raises(NotFound, match="the guard of 2026-11-14 has no verdict") as stopped:
        emitted(lake)
    assert stopped.value.fix.startswith(AGAIN)


def test_behind_a_closed_gate_nothing_is_emitted(held):
    check_plan(held, success=False)
    with pytest.raises(GateClosed, match=r"gate plan of 2026-11-14 is closed: .*refused the topic"):
        emitted(held, OperatorAnswer(SEND, "ada", verdict_id(held)))


def test_from_a_plan_that_crashed_the_guard_nothing_is_emitted(held):
    commit = held.require("catalog_snapshot", ds=DS)
    rows = held.read(commit)
    torn = [row | {"body": row["body"][:20]} for row in rows.to_pylist()]
    put(held, "catalog_snapshot", rows.from_pylist(torn, schema=rows.schema), meta={"stopped": []})
    with pytest.raises(GateClosed):
        guard(held, DS)
    put(held, "catalog_snapshot", rows, meta={"stopped": []})
    check_plan(held)
    with pytest.raises(GateClosed, match=r"the guard of 2026-11-14 crashed .* nothing is emitted"):
        emitted(held)


def decided_again(lake):
    choices = lake.read(lake.require("decisions", ds=DS))["choices"].to_pylist()
    decide(lake, choices[:4])


def test_a_plan_made_after_the_gate_is_not_emitted(held):
    judged = held.require("decisions", ds=DS).citation()
    decided_again(held)
    with pytest.raises(GateClosed) as stopped:
        emitted(held)
    newest = held.require("decisions", ds=DS).citation()
    assert stopped.value.message == (
        f"the gate plan of {DS} judged {judged}, not {newest}: nothing is emitted"
    )
    assert stopped.value.fix.startswith(AGAIN)


def test_a_plan_made_after_the_guard_is_not_emitted(held):
    decided_again(held)
    check_plan(held)
    with pytest.raises(GateClosed, match="the guard of 2026-11-14 judged decisions/ds=2026-11-14@1#"):
        emitted(held, OperatorAnswer(SEND, "ada", verdict_id(held)))


@pytest.mark.parametrize("name", ["user_features", "catalog_snapshot"])
def test_what_the_guard_rendered_from_is_what_is_emitted(held, name):
    """Another template or another attribute is another message."""
    commit = held.require(name, ds=DS)
    put(held, name, held.read(commit), meta={**commit.meta, "made": "again"})
    with pytest.raises(GateClosed, match=f"the gate plan of {DS} judged {name}/ds={DS}@1#.*, not .*@2#"):
        emitted(held)
    check_plan(held)
    with pytest.raises(GateClosed, match=f"the guard of {DS} judged {name}/ds={DS}@1#.*, not .*@2#"):
        emitted(held)


def test_a_gate_that_read_no_catalog_releases_nothing(held):
    checks, seen = load_with_seen(held, "plan", DS)
    store(held, "plan", DS, checks, {**seen, "catalog_snapshot": []})
    with pytest.raises(GateClosed, match=r"the gate plan of .* judged no commit of catalog_snapshot, not"):
        emitted(held)


def test_the_guard_measures_the_very_commit_it_cites(held, monkeypatch):
    """A plan that is published while the guard looks is not measured in part."""
    taken = Lake.require

    def and_somebody_decides_again(lake, name, **partition):
        commit = taken(lake, name, **partition)
        if name == "decisions" and commit.number == 1:
            decide(Lake(lake.store), [])
        return commit

    monkeypatch.setattr(Lake, "require", and_somebody_decides_again)
    result = guard(held, DS)
    assert result["figures"]["messages"] == {"sale": 8}
    assert result["decisions"].startswith(f"decisions/ds={DS}@1#")


def test_the_same_plan_judged_again_keeps_its_verdict_id(held):
    before = verdict_id(held)
    assert guard(held, DS)["verdict_id"] == before
    put(held, "audience_members", valid_rows("audience_members", 8), meta={"sizes": {"everyone": 0}})
    assert guard(held, DS)["verdict_id"] != before, "other numbers are another verdict"


@pytest.mark.parametrize("text", ['{"verdict": "open"}', "[]", "null", '"open"'])
def test_a_verdict_that_the_guard_did_not_write_is_none(held, text):
    key, verdict = numbered.load(held, "guard", DS)
    number = key.removesuffix(".json")[-4:]
    held.store.create(key.replace(number, "0002"), text.encode())
    with pytest.raises(Corrupt, match=r"0002\.json is not a verdict as the guard stores it"):
        emitted(held)
    changed = json.dumps({**verdict, "held": []})
    held.store.create(key.replace(number, "0003"), changed.encode())
    with pytest.raises(Corrupt, match=r"0003\.json is not a verdict"):
        emitted(held)


def test_an_erasure_between_judges_nothing_anew(held):
    commit = held.require("decisions", ds=DS)
    entry = replace(commit.files[0], sha256="0" * 64, replaces=commit.files[0].sha256)
    held.store.put(commit.key, replace(commit, files=(entry,), erased=True).to_bytes())
    assert emitted(held).held == ("sale",)


def test_a_replay_is_emitted_but_for_what_its_guard_holds(held):
    branch = Lake(held.store, branch="replay-x")
    assert emitted(branch) == Released()
    plan_a_night(branch, SALE | {"approval_required": True})
    guard(branch, DS)
    assert emitted(branch) == Released(("sale",))
    decided_again(branch)
    assert emitted(branch) == Released(), "that was another plan"


def test_an_id_is_a_hash_of_all_that_a_verdict_says():
    verdict = identified({"verdict": "open", "held": []})
    assert identified(verdict) == verdict
    assert len(verdict["verdict_id"]) == 12
    assert identified({"verdict": "open", "held": ["a"]})["verdict_id"] != verdict["verdict_id"]
