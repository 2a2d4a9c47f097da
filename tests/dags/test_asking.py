"""How an answer travels from a question to the command that judges it.

No answer becomes an empty text.
"""

import copy
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from tests.dags.given import COUNTED, DS, VERDICT, guarded, options_of, pulling, pushed, trained


def answered(dag, **answers):
    """What emit_manifests is told of an answer: option, person, verdict."""
    return options_of(dag, "emit_manifests", "--answer", "--answered-by", "--verdict", **answers)


def test_an_answer_reaches_the_job_with_who_gave_it_to_what(dags):
    dag = dags["nightly_personalization"]
    ask, guard = dag.get_task("ask_campaigns"), guarded("campaigns")
    for option in ("Send them, too", "Leave them out"):
        given = answered(dag, plan_guard=guard, ask_campaigns=pushed(ask, option))
        assert given == (option, "ada", VERDICT)
    approved = pushed(dag.get_task("ask_night"), "Approve")
    assert answered(dag, plan_guard=guarded("night"), ask_night=approved) == ("Approve", "ada", VERDICT)


def test_no_answer_reaches_the_job_as_none(dags):
    """Nobody was asked, the question was marked as success or skipped, or so was the guard."""
    dag = dags["nightly_personalization"]
    for guard in (guarded("open"), guarded("missing"), guarded("campaigns"), guarded("night"), None):
        assert answered(dag, plan_guard=guard) == ("", "", "")


def test_a_question_that_timed_out_names_nobody(dags):
    dag = dags["nightly_personalization"]
    silence = pushed(dag.get_task("ask_campaigns"), "Leave them out", who=None)
    given = answered(dag, plan_guard=guarded("campaigns"), ask_campaigns=silence)
    assert given == ("Leave them out", "", VERDICT)


def test_a_question_that_was_cleared_names_its_old_verdict(dags):
    """Airflow keeps form and text together; the task that asks again has the new verdict."""
    dag = dags["nightly_personalization"]
    old = pushed(dag.get_task("ask_campaigns"), "Send them, too", about="0123456789ab")
    given = answered(dag, plan_guard=guarded("campaigns"), ask_campaigns=old)
    assert given == ("Send them, too", "ada", "0123456789ab")


def test_an_answer_without_the_form_names_nothing(dags):
    dag = dags["nightly_personalization"]
    bare = pushed(dag.get_task("ask_night"), "Approve", about=None)
    assert answered(dag, plan_guard=guarded("night"), ask_night=bare) == ("Approve", "ada", "")


def test_an_answer_counts_for_its_own_question_only(dags):
    """A night that was approved, cleared and judged again keeps the old answer.

    The task that asked is skipped this time.
    """
    dag = dags["nightly_personalization"]
    approved, sent = (
        pushed(dag.get_task("ask_night"), "Approve"),
        pushed(dag.get_task("ask_campaigns"), "Send them, too"),
    )
    assert answered(dag, plan_guard=guarded("campaigns"), ask_night=approved) == ("", "", "")
    assert answered(dag, plan_guard=guarded("night"), ask_campaigns=sent) == ("", "", "")


def test_what_the_questions_offer_is_what_the_job_takes(dags):
    from angelia.planning.verdict import OFFERED

    dag, tasks = dags["nightly_personalization"], {"night": "ask_night", "campaigns": "ask_campaigns"}
    assert {kind: tuple(dag.get_task(task).options) for kind, task in tasks.items()} == OFFERED


def rendered(dag, task_id, **answers):
    """A question as its task asks it, rendered."""
    task = copy.deepcopy(dag).get_task(task_id)
    run = SimpleNamespace(run_after=datetime(2026, 11, 15, 2, tzinfo=UTC))
    context = {"ti": pulling(**answers), "ds": DS, "dag_run": run, "params": {"campaigns": ["sale"]}}
    task.render_template_fields({**context, **dag.user_defined_macros}, dag.get_template_env())
    return task


@pytest.mark.parametrize(
    ("dag_id", "task_id", "about"),
    [
        ("nightly_personalization", "ask_night", VERDICT),
        ("nightly_personalization", "ask_campaigns", VERDICT),
        ("campaign_backfill", "approve_resend", "17-0123456789abcdef"),
        ("weekly_retrain", "approve", "2026-11-14-0123"),
    ],
)
def test_a_question_carries_what_it_is_about_in_text_and_form(dags, monkeypatch, dag_id, task_id, about):
    """Airflow keeps text and form as long as the run lives, even when the question is cleared."""
    from airflow.providers.standard.operators import hitl
    from airflow.sdk.exceptions import TaskAwaitingInput

    kept = {}
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **words: kept.update(words))
    answers = {"plan_guard": guarded("night"), "train": trained(), "count_resend": COUNTED}
    task = rendered(dags[dag_id], task_id, **answers)
    ti = SimpleNamespace(dag_id=dag_id, task_id=task_id, id="1", log_url=None)
    with pytest.raises(TaskAwaitingInput):
        type(task).execute.__wrapped__(task, {"task_instance": ti, "ti": ti, "task": task})
    assert about in kept["body"]
    assert {name: field["value"] for name, field in kept["params"].items()} == {"about": about}
    assert pushed(task, kept["options"][0], about=about)["params_input"] == {"about": about}
