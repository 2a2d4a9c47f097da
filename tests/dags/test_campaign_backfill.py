"""A backfill replays, unless a resend was approved; what it is asked reaches the command."""

from __future__ import annotations

import pytest

from tests.dags.rendering import commands


@pytest.mark.parametrize(("mode", "first"), [("replay", "replay"), ("resend", "count_resend")])
def test_a_backfill_replays_unless_a_resend_is_approved(dags, mode, first):
    dag = dags["campaign_backfill"]
    assert dag.get_task("choose_mode").python_callable({"mode": mode, "campaigns": ["price_drop"]}) == first
    approval = dag.get_task("approve_resend")
    assert approval.defaults == ["Reject"]
    assert approval.response_timeout is not None
    assert dag.get_task("resend").upstream_task_ids == {"approve_resend"}
    assert dag.get_task("replay").downstream_task_ids == set()


def test_changes_reach_the_command_as_json(dags):
    from angelia.planning.replay import parse_changes

    changes = {"price_drop": {"caps": [{"messages": 1, "days": 7}]}, "policy": {"min_gap_hours": 6}}
    words = commands(dags["campaign_backfill"], changes=changes, first="2026-11-10", last="2026-11-12")[
        "replay"
    ]
    assert parse_changes(words[words.index("--changes") + 1]) == changes
    assert words[words.index("--from") + 1] == "2026-11-10"


def test_a_resend_without_campaigns_names_the_field(dags):
    from airflow.sdk.exceptions import AirflowFailException

    choose = dags["campaign_backfill"].get_task("choose_mode").python_callable
    for campaigns in (None, []):
        with pytest.raises(AirflowFailException, match="field Campaigns"):
            choose({"mode": "resend", "campaigns": campaigns})
