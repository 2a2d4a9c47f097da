"""What a person is asked, what the answers do, and what no answer does.

The providers' own operators run.
"""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from tests.dags.given import BREACHES, COUNTED, asked, guarded, pushed, trained


def test_the_question_names_the_numbers_and_what_is_held_back(dags):
    dag = dags["nightly_personalization"]
    night = asked(dag, "ask_night", plan_guard=guarded("night"))
    assert night.startswith("60000 messages, 7 nights.\n")
    assert (
        "- **volume** (night): 60,000 messages planned, 6,000 is usual\n- **rendering** (campaign): 5 of 5"
        in night
    )
    assert "Held back: the night; approved, all of it is sent.\n" in night
    campaigns = asked(dag, "ask_campaigns", plan_guard=guarded("campaigns", BREACHES[1:]))
    assert "- **rendering** (campaign)" in campaigns
    assert "Held back: sale, win_back.\n" in campaigns
    assert "the night" not in campaigns


@pytest.mark.parametrize(
    ("dag_id", "task_id", "options", "default"),
    [
        ("nightly_personalization", "ask_night", ["Approve", "Reject"], "Reject"),
        ("nightly_personalization", "ask_campaigns", ["Send them, too", "Leave them out"], "Leave them out"),
        ("campaign_backfill", "approve_resend", ["Approve", "Reject"], "Reject"),
        ("weekly_retrain", "approve", ["Approve", "Reject"], "Reject"),
    ],
)
def test_no_answer_is_the_careful_one(dags, dag_id, task_id, options, default):
    task = dags[dag_id].get_task(task_id)
    assert (task.options, task.defaults, task.multiple) == (options, [default], False)
    assert task.response_timeout is not None
    assert task.execution_timeout is None, "it would end the question instead of answering it"


@pytest.mark.parametrize(
    ("dag_id", "task_id", "skipped"),
    [
        ("nightly_personalization", "ask_night", ["emit_manifests"]),
        ("campaign_backfill", "approve_resend", ["resend"]),
        ("weekly_retrain", "approve", ["promote"]),
    ],
)
@pytest.mark.parametrize("who", ["ada", None])
def test_a_rejection_skips_what_comes_next(dags, dag_id, task_id, skipped, who):
    """emit_manifests runs after skipped questions, but not after a rejected one.

    Only the operator's own skipping prevents that run.
    """
    from airflow.sdk.exceptions import DownstreamTasksSkipped

    task = dags[dag_id].get_task(task_id)
    with pytest.raises(DownstreamTasksSkipped) as skip:
        pushed(task, "Reject", who)
    assert skip.value.tasks == skipped


QUESTIONS = [
    ("nightly_personalization", "ask_night", 90, "Reject"),
    ("nightly_personalization", "ask_campaigns", 90, "Leave them out"),
    ("campaign_backfill", "approve_resend", 60, "Reject"),
    ("weekly_retrain", "approve", 3 * 24 * 60, "Reject"),
]


def test_every_question_is_known_here(dags):
    from airflow.providers.standard.operators.hitl import HITLOperator

    questions = {
        (dag.dag_id, task.task_id)
        for dag in dags.values()
        for task in dag.tasks
        if isinstance(task, HITLOperator)
    }
    assert questions == {(dag_id, task_id) for dag_id, task_id, _, _ in QUESTIONS}


@pytest.mark.parametrize(("dag_id", "task_id", "minutes", "silence"), QUESTIONS)
def test_a_question_says_its_deadline_default_and_respondents(dags, dag_id, task_id, minutes, silence):
    before = datetime.now(UTC)
    body = asked(dags[dag_id], task_id, plan_guard=guarded("night"), train=trained(), count_resend=COUNTED)
    last = body.splitlines()[-1]
    by = datetime.strptime(last[len("Answer by ") :][:16], "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    assert (
        before.replace(second=0, microsecond=0) + timedelta(minutes=minutes)
        <= by
        <= datetime.now(UTC) + timedelta(minutes=minutes)
    )
    assert (
        f"no answer counts as **{silence}**. Whoever may edit *Required actions* of this DAG may "
        f"answer, and is recorded."
    ) in last
    assert dags[dag_id].get_task(task_id).response_timeout == timedelta(minutes=minutes)


@pytest.mark.parametrize(("dag_id", "task_id", "minutes", "silence"), QUESTIONS)
def test_a_question_is_told_to_whoever_listens(
    dags, receiver, monkeypatch, dag_id, task_id, minutes, silence
):
    monkeypatch.setenv("ANGELIA_NOTIFY_URL", f"http://127.0.0.1:{receiver.server_port}/hook")
    task = dags[dag_id].get_task(task_id)
    ti = SimpleNamespace(dag_id=dag_id, task_id=task_id, log_url="http://localhost/log")
    for notifier in task.notifiers:
        notifier({"ti": ti, "task": task, "dag": dags[dag_id]})
    [notice] = receiver.received
    assert notice["text"].startswith(f"{dag_id}.{task_id} asks: ")
    assert f"no answer counts as '{silence}'. http://localhost/log" in notice["text"]
