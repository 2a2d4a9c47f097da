"""What a replay may change, and what a comparison counts.

The jobs themselves run in tests/integration/test_backfill.py.
"""

import pyarrow as pa
import pytest

from angelia.catalog.documents import parse_document
from angelia.catalog.snapshot import StoredDocument, catalog_of, documents_of
from angelia.contracts import arrow, dataset
from angelia.contracts.derived import DECISION
from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.planning import replay

DS = "2026-11-14"
POLICY = {
    "kind": "policy",
    "id": "default",
    "holdout": {"share_pct": 2.0, "salt": "g"},
    "explore": {"slot_share_pct": 5.0, "epsilon": 0.1},
    "salt": "s",
}
CAMPAIGN = {
    **{
        "kind": "campaign",
        "id": "price_drop",
        "name": "Price drop",
        "topic": "promo",
        "owner": "growth",
        "audience": "all",
        "materials": ["m"],
    },
    **{
        "channels": ["fcm"],
        "value_per_open": 0.05,
        "occurrence": {"every": "daily"},
        "start_date": "2026-11-01",
        "end_date": "2026-12-31",
    },
}


def catalog():
    return catalog_of(
        [StoredDocument(parse_document(raw), version) for version, raw in ((3, POLICY), (7, CAMPAIGN))]
    )


def test_a_change_is_made_in_one_campaign_and_versions_stay():
    changed = replay.changed(
        catalog(), {"price_drop": {"caps": [{"messages": 1, "days": 7}]}, "policy": {"min_gap_hours": 9}}
    )
    campaign, policy = changed
    assert (campaign.document.caps[0].messages, campaign.version) == (1, 7)
    assert (policy.document.min_gap_hours, policy.version) == (9, 3)
    assert replay.changed(catalog(), {}) == documents_of(catalog())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not a JSON object"),
        ("[1]", "not a JSON object"),
        ('{"price_drop": 3}', "not a JSON object"),
        ('{"price_drop": {"audience": "all"}}', "audience of price_drop is not the plan's alone"),
        ('{"policy": {"salt": "x"}}', "salt of policy"),
    ],
)
def test_what_a_plan_alone_cannot_follow_is_refused(text, says):
    with pytest.raises(InvalidInput, match=says):
        replay.parse_changes(text)


def test_unknown_campaigns_and_impossible_values_are_refused():
    with pytest.raises(InvalidInput, match="no campaign price_dorp"):
        replay.changed(catalog(), {"price_dorp": {"caps": []}})
    with pytest.raises(InvalidInput, match="caps"):
        replay.changed(catalog(), {"price_drop": {"caps": [{"messages": -1, "days": 7}]}})


def test_the_same_question_has_the_same_branch():
    days = ["2026-11-13", DS]
    branch = replay.branch_for(days, {"price_drop": {"caps": []}})
    assert branch == replay.branch_for(days, {"price_drop": {"caps": []}})
    assert (
        len({branch, replay.branch_for(days[1:], {"price_drop": {"caps": []}}), replay.branch_for(days, {})})
        == 3
    )
    Lake(None, branch=branch)  # a branch name that the lake takes


def plan(lake, sent, value):
    empty = {field.name: None for field in DECISION}
    rows = []
    for ordinal, (campaign, key, outcome) in enumerate(sent):
        choice = {
            **empty,
            "campaign_id": campaign,
            "message_id": key,
            "outcome": outcome,
            "is_explore": False,
            "occurrence": "once",
        }
        choice |= {"value_micros": 1, "price_micros": 0, "p_open": 0.1}
        rows.append({"ordinal": ordinal, "user_id": f"u{ordinal}", "choices": [choice]})
    with lake.attempt("decisions", ds=DS) as attempt:
        attempt.write(
            pa.Table.from_pylist(rows, schema=arrow.schema(dataset("decisions"))),
            "shard-000000.parquet",
            conform=False,
        )
        attempt.publish(meta={"primal_micros": value, "gap_pct": 1.0})


def test_a_comparison_counts_who_gains_and_who_loses(tmp_path):
    main = Lake.open(str(tmp_path))
    branch = Lake.open(str(tmp_path), branch="replay-x")
    plan(
        main,
        [
            ("a", "1" * 32, "sent"),
            ("a", "2" * 32, "sent"),
            ("b", "3" * 32, "sent"),
            ("b", "4" * 32, "capped"),
        ],
        100,
    )
    with pytest.raises(InvalidInput, match="no plan of 2026-11-14 of its own"):
        replay.compare(main, branch, DS)
    plan(
        branch,
        [
            ("a", "2" * 32, "sent"),
            ("a", "5" * 32, "sent"),
            ("a", "6" * 32, "sent"),
            ("b", "4" * 32, "capped"),
        ],
        150,
    )
    comparison = replay.compare(main, branch, DS)
    assert comparison["campaigns"]["a"] == {"main": 2, "replay": 3, "both": 1, "gained": 2, "lost": 1}
    assert comparison["campaigns"]["b"] == {"main": 1, "replay": 0, "both": 0, "gained": 0, "lost": 1}
    assert comparison["value_micros"] == {"main": 100, "replay": 150}
    assert any("2 people gain one, 1 lose it" in line for line in replay.lines([comparison]))


def test_inputs_that_moved_since_are_named(tmp_path):
    lake = Lake.open(str(tmp_path))
    contract = dataset("audience_members")
    for _ in range(2):
        with lake.attempt("audience_members", ds=DS) as attempt:
            attempt.write(arrow.schema(contract).empty_table(), "part-0000.parquet")
            last = attempt.publish()
    with lake.attempt("decisions", ds=DS) as attempt:
        attempt.write(arrow.schema(dataset("decisions")).empty_table(), "shard-000000.parquet")
        decided = attempt.publish(inputs=[lake.as_of("audience_members", 1, ds=DS)])
    (line,) = replay.moved(lake, decided)
    assert "@1" in line
    assert last.ref in line


def test_waiting_is_not_replayed_over_several_nights() -> None:
    waits = {"price_drop": {"postpone_nights": 3}}
    with pytest.raises(InvalidInput, match="cannot be replayed over 2 nights"):
        replay.replay(None, None, ["2026-11-14", "2026-11-15"], waits)  # type: ignore[arg-type]
