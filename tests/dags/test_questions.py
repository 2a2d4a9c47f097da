"""What a person is asked, what the answers do, and what no answer does.

The providers' own operators run.
"""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from models.evaluate import Estimate, estimates_json
from models.judging.rehearsed import SKIPPED, card_path, shortfalls
from tests.dags.given import BREACHES, COUNTED, DS, guarded, pulling, pushed, trained


@pytest.mark.parametrize(
    ("verdict", "ask", "run_type", "goes_to"),
    [
        ("open", True, "scheduled", "emit_manifests"),
        ("campaigns", True, "scheduled", "ask_campaigns"),
        ("night", True, "scheduled", "ask_night"),
        ("missing", True, "scheduled", "emit_manifests"),  # nothing to hold back, nothing to ask
        ("campaigns", False, "scheduled", "emit_manifests"),  # held back without a question
        ("campaigns", True, "backfill", "emit_manifests"),
    ],
)
def test_a_person_is_asked_where_the_answer_matters(dags, verdict, ask, run_type, goes_to):
    who_decides = dags["nightly_personalization"].get_task("who_decides").python_callable
    guard = {"verdict": verdict, "held": ["sale"], "breaches": [{"says": "ten times the usual"}]}
    assert (
        who_decides(guard, {"ask": ask, "mode": "auto"}, SimpleNamespace(run_type=run_type), "2026-11-14")
        == goes_to
    )


@pytest.mark.parametrize(("ask", "run_type"), [(False, "scheduled"), (True, "backfill")])
def test_a_night_held_back_with_nobody_to_ask_fails(dags, ask, run_type):
    from airflow.sdk.exceptions import AirflowFailException

    who_decides = dags["nightly_personalization"].get_task("who_decides").python_callable
    guard = {"verdict": "night", "held": [], "breaches": [{"says": "ten times the usual"}]}
    with pytest.raises(AirflowFailException, match="ten times the usual"):
        who_decides(guard, {"ask": ask, "mode": "auto"}, SimpleNamespace(run_type=run_type), "2026-11-14")


def asked(dag, task_id, **answers):
    """The rendered body of a question."""
    return (
        dag.get_template_env()
        .from_string(dag.get_task(task_id).body)
        .render({"ti": pulling(**answers), "ds": DS, **dag.user_defined_macros})
    )


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


def test_the_nights_questions_are_answered_before_its_first_hour(dags):
    """It starts at 02:00 and plans from 04:00; the manifests take their time, too."""
    for task_id in ("ask_night", "ask_campaigns"):
        assert dags["nightly_personalization"].get_task(task_id).response_timeout == timedelta(minutes=90)


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


def test_manifests_are_emitted_after_a_skipped_question(dags):
    emit = dags["nightly_personalization"].get_task("emit_manifests")
    assert emit.trigger_rule == "none_failed_min_one_success"
    assert emit.upstream_task_ids == {"who_decides", "ask_night", "ask_campaigns"}
    assert emit.downstream_task_ids == set(), "a rejection skips the next task only"


def value_of(value):
    return estimates_json({"dr": Estimate(value, value - 0.01, value + 0.01, 90.0, 100)})


@pytest.mark.parametrize(
    ("metrics", "says"),
    [
        ({}, ""),  # no catalog to know the choices by
        (
            {"off_policy": value_of(0.08)},
            "Opens a push if it chose (doubly robust, 95 %): 0.08000 [0.07000, 0.09000]",
        ),
        (
            {"off_policy": value_of(0.08), "champion": {"version": "v0", "off_policy": value_of(0.06)}},
            (
                "Opens a push if it chose (doubly robust, 95 %): 0.08000 [0.07000, 0.09000]; the "
                "champion on the same rounds: 0.06000 [0.05000, 0.07000]"
            ),
        ),
        (
            {"off_policy": value_of(0.08), "champion": {"version": "v0", "not_compared": "damaged"}},
            "Opens a push if it chose (doubly robust, 95 %): 0.08000 [0.07000, 0.09000]",
        ),
    ],
)
def test_who_promotes_sees_the_models_rank_and_worth(dags, metrics, says):
    dag = dags["weekly_retrain"]
    body = asked(dag, "approve", train=trained(**metrics))
    lines = [line for line in body.splitlines() if line]
    assert lines == [
        "Version **2026-11-14-0123**, on the latest pushes:",
        "| | this version | base rate |",
        "|---|---|---|",
        "| log loss | 0.40037 | 0.56234 |",
        "| AUC | 1.0000 | 0.5 |",
        "| calibration error | 0.3000 | |",
        *says.splitlines(),
        "The card: `HOME/models/p_open/versions/2026-11-14-0123/card.md`",
        lines[-1],
    ]
    assert lines[-1].startswith("Answer by ")
    subject = dag.get_template_env().from_string(dag.get_task("approve").subject)
    assert subject.render({"ti": pulling(train=trained())}) == "Promote model 2026-11-14-0123?"


def test_who_promotes_sees_what_the_gate_would_refuse(dags):
    body = asked(
        dags["weekly_retrain"], "approve", train=trained() | {"objections": ["too dear", "too late"]}
    )
    lines = [line for line in body.splitlines() if line]
    at = lines.index("**It would be refused**, even if you approve:")
    assert lines[at + 1 : at + 3] == ["- too dear", "- too late"]


def rehearsed(low: float, how: str = "as_it_is") -> dict:
    """What the rehearsal pushes, by its own names."""
    gain = {"value": 0.001, "low": low, "high": 0.002}
    figures = {"messages": 1000, "opens": 90.0, "opens_per_message": 0.09, "unsubscribes_per_message": 0.001}
    verdict = {
        "version": "2026-11-14-0123", "how": how, "says": "Two nights.", "reason": "no time", "by": "run x",
        "figures": {"version": figures, "usual": figures},
        "gains": {"usual": {"opens_per_message": gain, "opens": gain}},
    }  # fmt: skip
    verdict |= {"figures": {}, "gains": {}} if how == SKIPPED else {}
    return {"objections": shortfalls(verdict), "verdict": verdict, "card": card_path(verdict["version"])}


def test_who_promotes_sees_what_the_rehearsal_showed(dags):
    dag = dags["weekly_retrain"]
    assert dag.get_task("rehearse").downstream_task_ids == {"approve"}
    body = asked(dag, "approve", train=trained(), rehearse=rehearsed(0.0005))
    says = "in the rehearsal: 0.09000; usual: 0.09000 (+0.00100 [+0.00050, +0.00200]). Two nights."
    assert f"Opens a message {says}" in body
    assert "would be refused" not in body
    assert "The card: `HOME/models/p_open/rehearsals/2026-11-14-0123/card.md`" in body
    body = asked(dag, "approve", train=trained() | {"objections": ["too dear"]}, rehearse=rehearsed(-0.02))
    lines = [line for line in body.splitlines() if line]
    at = lines.index("**It would be refused**, even if you approve:")
    assert lines[at + 1] == "- too dear"
    assert lines[at + 2].startswith("- in the rehearsal its opens a message may be fewer")
    body = asked(dag, "approve", train=trained(), rehearse=rehearsed(0.0, SKIPPED))
    assert "The rehearsal was **skipped**: no time" in body


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
