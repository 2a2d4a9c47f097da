"""Nights decided again, and messages sent again once somebody approved their number."""

import pytest

from tests.dags.given import commands, options_of, pushed


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


def test_a_resend_is_told_what_was_answered_to_which_count(dags):
    dag = dags["campaign_backfill"]
    options, counted = ("--expect", "--answer", "--answered-by"), {"hash": "17-0123456789abcdef"}
    assert options_of(dag, "resend", *options, count_resend=counted) == ("", "", ""), "marked as success"
    answer = pushed(dag.get_task("approve_resend"), "Approve", about="16-fedcba9876543210")
    given = options_of(dag, "resend", *options, count_resend=counted, approve_resend=answer)
    assert given == ("16-fedcba9876543210", "Approve", "ada")


def test_of_no_message_nobody_is_asked(dags):
    dag = dags["campaign_backfill"]
    ask = dag.get_task("anything_to_resend")
    assert dag.get_task("approve_resend").upstream_task_ids == {"anything_to_resend"}
    assert ask.upstream_task_ids == {"count_resend"}
    assert ask.python_callable({"resent": 0}) is False
    assert ask.python_callable({"resent": 1}) is True


def test_a_resend_that_waits_holds_back_no_replay(dags):
    """Runs may stand side by side; what writes takes its turn in the pool of one slot."""
    dag = dags["campaign_backfill"]
    assert dag.max_active_runs > 1
    assert {dag.get_task(name).pool for name in ("replay", "resend")} == {"plan"}
    assert dag.get_task("approve_resend").pool != "plan"
