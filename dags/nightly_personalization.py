"""## Decide who gets what, when and by which channel: one joint decision a night

**When.** 02:00 UTC on D+1, for the UTC day D just closed (`ds`); it plans the 24 UTC hours from D+1 04:00.

**Reads** the source datasets of D and the catalog; **writes** everything from `user_index` to
`dispatch_manifest`. Each task publishes one commit; a task that fails leaves the last good commit in place,
so yesterday's manifests stay and are still sent.

**When it fails.**
- `check_sources`, `check_features` or `check_plan`: the message names dataset, column, count and the command
  that shows the rows. Correct the source, then clear the task. Nothing is sent from a plan that did not pass.
- a job says that a newer commit came in after its gate and is not read: jobs read what the gate judged. To
  have the newer one, clear the gate and all after it.
- `check_sources` counts days before D that changed since their own gate, were closed by it, or were never
  judged: they are read as they stand. Its line ends with the command that judges one.
- a Spark job: its log ends with one `error:` line; the same command runs by hand (`spark-submit
  spark_jobs/<task>.py --ds D`).
- `plan_guard` found the plan implausible (ten times the usual volume, an audience that collapsed, scores that
  drifted, messages that cannot be rendered): `ask_campaigns` or `ask_night` waits 90 minutes for an answer
  under *Required actions*, with the numbers. Without an answer, `ask_campaigns` leaves out the campaigns it
  names, and `ask_night` sends nothing, so yesterday's manifests stay. An approved night is sent whole.
  `angelia plan guard --ds D` shows the numbers again. The verdict `missing` asks nothing: it says that a
  campaign which should send plans no message.
- a question that was marked as success, or is answered with another verdict's id, counts as not answered:
  `emit_manifests` reads the guard's verdict itself. Airflow keeps the text of a question that is cleared. If
  `angelia plan guard --ds D` shows another id than the question's field *about*, read the numbers there, put
  that id into the field, and answer.
- `emit_manifests` says that gate or guard judged another plan: `plan_dispatch` has run again since. Clear
  `check_plan` and everything after it.
- the night is late: clear the task anyway. Hours that have passed are skipped and counted in the plan.

**Backfill.** A backfill decides again as of that day on a branch `replay-D` and never sends (`mode=auto`), so
it asks nobody: what the guard holds back is left out. `mode=plan` on a manual run writes main. A night that
waits for an answer holds back the next run of this DAG on main, but neither a backfill nor a replay by
`campaign_backfill`.

**Without a date.** A run triggered without a logical date decides the last closed UTC day.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import jinja2
from _asking import Approval, Question, answer_by, answer_to, asking
from _shared import (
    DAY,
    DEFAULTS,
    CommandOperator,
    branch_of,
    command,
    last_closed,
    skip_before,
    spark_job,
)
from airflow.sdk import CronDataIntervalTimetable, Param, dag, task
from airflow.sdk.exceptions import AirflowFailException

BRANCH = "{{ branch_of(params, dag_run, " + DAY + ") }}"
SKIP_BEFORE = "{{ skip_before(params, dag_run, branch_of(params, dag_run, " + DAY + ")) }}"
DS = ("--ds", "{{ " + DAY + " }}")
ON = (*DS, "--branch", BRANCH, "--judged")


ASKS = {"night": "ask_night", "campaigns": "ask_campaigns"}  # verdict of the guard -> the task that asks
VERDICT = "{{ ti.xcom_pull(task_ids='plan_guard').verdict_id }}"  # what the questions are about
SEND_THEM, LEAVE_OUT = "Send them, too", "Leave them out"
ANSWER_WITHIN = timedelta(minutes=90)  # the plan's first hour begins two hours after the night does
NUMBERS = """{% set guard = ti.xcom_pull(task_ids='plan_guard') %}{{ guard.figures.messages.values() | sum }} messages, {{ guard.history }}.
{% for breach in guard.breaches %}
- **{{ breach.check }}** ({{ breach.severity }}): {{ breach.says }}{% endfor %}

Verdict **{{ guard.verdict_id }}** on `{{ guard.decisions }}`: an answer counts for this verdict alone.

Held back: {{ 'the night; approved, all of it is sent' if guard.verdict == 'night' else guard.held | join(', ') }}.
{% set day = ds | default(none) or last_closed(dag_run) %}To see more: `angelia plan guard --ds {{ day }}`, `angelia plan show --ds {{ day }}`"""


def answer(ti: Any) -> dict[str, str]:
    """Return a person's answer to the question that this night's verdict asks, if any.

    `emit_manifests` reads the verdict itself, and judges whether the answer is for it.
    """
    guard = ti.xcom_pull(task_ids="plan_guard") or {}
    return answer_to(ti, ASKS.get(guard.get("verdict")))


def gate(name: str):
    """Return the task that closes or opens one of the three quality gates."""
    argv = ["angelia", "quality", "check", "--gate", name, *DS]
    return command(f"check_{name}", argv, branch=BRANCH, execution_timeout=timedelta(minutes=20))


@dag(
    dag_id="nightly_personalization",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("0 2 * * *", timezone="UTC"),
    start_date=datetime(2022, 1, 1),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
    default_args=DEFAULTS,
    template_undefined=jinja2.StrictUndefined,
    user_defined_macros={
        "branch_of": branch_of,
        "skip_before": skip_before,
        "answer": answer,
        "last_closed": last_closed,
        "answer_by": answer_by,
    },
    tags=["angelia", "nightly"],
    params={
        "mode": Param(
            "auto",
            enum=["auto", "plan", "replay"],
            title="Mode",
            description="auto: scheduled runs plan, backfills replay on a branch.",
        ),
        "ask": Param(
            True,
            type="boolean",
            title="Ask",
            description="off: ask nobody and leave out what the guard holds back (samples, tests).",
        ),
        "clock": Param(
            "real",
            enum=["real", "simulated"],
            title="Clock",
            description="simulated: no hour counts as passed (samples and tests).",
        ),
    },
)
def nightly_personalization():
    """Chain the night's tasks."""
    check_sources = gate("sources")
    snapshot_catalog = command(
        "snapshot_catalog",
        ["angelia", "catalog", "snapshot", *DS],
        branch=BRANCH,
        outlets=["catalog_snapshot"],
    )
    index_users = spark_job("index_users", *ON, outlets=["user_index"], pool="spark")
    aggregate_days = spark_job("aggregate_days", *ON, outlets=["user_days", "user_pushes"], pool="spark")
    build_features = spark_job("build_features", *ON, outlets=["user_features"], pool="spark")
    build_send_times = spark_job("build_send_times", *ON, outlets=["send_times", "user_hours"], pool="spark")
    check_features = gate("features")
    build_bitmaps = spark_job("build_bitmaps", *ON, outlets=["bitmap_days", "bitmap_index"], pool="spark")
    select_audiences = spark_job(
        "select_audiences", *ON, outlets=["audience_members", "holdout_members"], pool="spark"
    )
    score_materials = spark_job(
        "score_materials", *ON, outlets=["material_scores", "user_looks"], pool="spark"
    )
    plan_dispatch = spark_job(
        "plan_dispatch",
        *ON,
        "--skip-before",
        SKIP_BEFORE,
        outlets=["decided_pairs", "decisions"],
        pool="plan",
    )
    check_plan = gate("plan")
    plan_guard = CommandOperator(
        task_id="plan_guard",
        argv=["angelia", "plan", "guard", *DS, "--json"],
        branch=BRANCH,
        execution_timeout=timedelta(minutes=20),
    )
    ask_night = Approval(
        task_id="ask_night",
        about=VERDICT,
        subject="Send the night of {{ " + DAY + " }} all the same?",
        **asking(NUMBERS, "Reject", ANSWER_WITHIN),
    )
    ask_campaigns = Question(
        task_id="ask_campaigns",
        about=VERDICT,
        subject="Campaigns held back on {{ " + DAY + " }}",
        options=[SEND_THEM, LEAVE_OUT],
        **asking(NUMBERS, LEAVE_OUT, ANSWER_WITHIN),
    )
    emit_manifests = spark_job(
        "emit_manifests",
        *ON,
        *("--answer", "{{ answer(ti).option }}"),
        *("--answered-by", "{{ answer(ti).by }}"),
        *("--verdict", "{{ answer(ti).about }}"),
        outlets=["dispatch_manifest"],
        pool="spark",
        trigger_rule="none_failed_min_one_success",
    )

    @task.branch(task_id="who_decides")
    def who_decides(
        guard: dict[str, Any],
        params: dict[str, Any] | None = None,
        dag_run: Any = None,
        ds: str | None = None,
    ) -> str:
        """Return the next task; a person is asked only where an answer would change what is sent."""
        is_asked = (params or {})["ask"] and branch_of(
            params or {}, dag_run, ds or last_closed(dag_run)
        ) == "main"
        # Nobody is there to answer on a branch or a night that does not ask, so a bad plan ends here.
        if guard["verdict"] == "night" and not is_asked:
            raise AirflowFailException("; ".join(breach["says"] for breach in guard["breaches"]))
        return ASKS.get(guard["verdict"], "emit_manifests") if is_asked else "emit_manifests"

    check_sources >> index_users >> aggregate_days >> build_features >> build_send_times >> check_features
    (
        check_features
        >> build_bitmaps
        >> select_audiences
        >> score_materials
        >> plan_dispatch
        >> check_plan
        >> plan_guard
    )
    who_decides(plan_guard.output) >> [emit_manifests, ask_night, ask_campaigns]
    [ask_night, ask_campaigns] >> emit_manifests
    snapshot_catalog >> select_audiences


nightly_personalization()
