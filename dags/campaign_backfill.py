"""## Replay past nights with changes, or resend what was not sent

**When.** By hand: *Trigger* opens a form.

- **replay** decides the nights from `first` to `last` again on a branch, with `changes` in campaigns' caps,
  budgets, values or windows, and compares them with what main decided. It needs main's plans of these nights,
  sends nothing, and touches neither main's commits nor reports nor models. To replay nights from their
  sources up, backfill `nightly_personalization`.
- **resend** counts the named campaigns' messages that no provider has seen, that no other night has planned,
  whose window is still open and whose people still consent; it asks; and it queues exactly those again. The
  next `hourly_dispatch` sends them. Accepted, rejected and ambiguous messages are never among them.

**Reads** main's plans and their inputs, the ledger, preferences and suppressions; **writes** the replay's
branch, or follow-up parts of main.

**Approval.** `approve_resend` waits an hour for an answer under *Required actions*, with the numbers; no
answer is a no, and so is a question that was marked as success. The answer is to one count: `resend` queues
nothing if other rows could go by then. If the count is zero, nobody is asked and the remaining tasks are
skipped. Replays continue while it waits.

**When it fails.**
- `replay` says that main has no plan of a night: name other nights, or run that night first.
- `resend` says that a campaign is stopped: resume it if it should be sent, and trigger again.
- `resend` says that what may go is not what was counted: trigger again, and read the new numbers.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import jinja2
from _asking import Approval, answer_by, answer_to, asking
from _shared import DEFAULTS, CommandOperator, known_campaigns, last_closed
from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowFailException

from angelia.contracts.sources import NAME

LAST = "params.last or last_closed(dag_run)"
DAYS = ("--from", "{{ params.first or " + LAST + " }}", "--to", "{{ " + LAST + " }}")
RESEND = (
    "angelia",
    "ledger",
    "resend",
    *DAYS,
    "--campaigns",
    "{{ (params.campaigns or []) | join(',') }}",
    "--now",
    "{{ params.now or '' }}",
)
NUMBERS = """{% set found = ti.xcom_pull(task_ids='count_resend') %}**{{ found.resent }} messages** in {{ found.parts }} parts would go again.
{% for campaign, counts in found.campaigns.items() %}
- **{{ campaign }}**: {% for reason, n in counts.items() %}{{ reason }} {{ n }}{{ ', ' if not loop.last }}{% endfor %}{% endfor %}

Counted as `{{ found.hash }}`: an answer counts for this count alone.

Days: {{ found.days | join(', ') }}{% if found.no_plan %}; no plan: {{ found.no_plan | join(', ') }}{% endif %}"""


@dag(
    dag_id="campaign_backfill",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2022, 1, 1),
    catchup=False,
    max_active_runs=4,  # a resend that waits for its answer holds back neither a replay nor another resend
    dagrun_timeout=timedelta(hours=12),
    default_args=DEFAULTS,
    template_undefined=jinja2.StrictUndefined,
    user_defined_macros={"last_closed": last_closed, "answer_by": answer_by, "answer_to": answer_to},
    tags=["angelia", "campaigns"],
    params={
        "mode": Param(
            "replay",
            enum=["replay", "resend"],
            title="Mode",
            description="replay: decide again on a branch. resend: send what was not sent.",
        ),
        "first": Param(
            None,
            type=["null", "string"],
            format="date",
            title="First night",
            description="Day of the first plan; empty = the last night.",
        ),
        "last": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Last night",
            description="Day of the last plan, included; empty = the last closed day.",
        ),
        "campaigns": Param(
            None,
            type=["null", "array"],
            items={"type": "string", "pattern": NAME},
            **known_campaigns(),
            title="Campaigns",
            description="Ids, such as price_drop; needed to resend.",
        ),
        "changes": Param(
            {},
            type="object",
            title="Changes",
            description=(
                'Replay only: fields by campaign, e.g. {"price_drop": {"caps": [{"messages": 1, "days": 7}]}}'
            ),
        ),
        "now": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="As of",
            description="Resend only: instant by which windows are judged; empty = now.",
        ),
    },
)
def campaign_backfill():
    """Chain the tasks of both modes."""
    replay = CommandOperator(
        task_id="replay",
        argv=["angelia", "plan", "replay", *DAYS, "--changes", "{{ params.changes | tojson }}", "--json"],
        pool="plan",
    )
    count_resend = CommandOperator(
        task_id="count_resend", argv=[*RESEND, "--json"], execution_timeout=timedelta(minutes=30)
    )
    approve_resend = Approval(
        task_id="approve_resend",
        about="{{ ti.xcom_pull(task_ids='count_resend').hash }}",
        subject=(
            "Send {{ ti.xcom_pull(task_ids='count_resend').resent }} messages of {{ (params.campaigns "
            "or []) | join(', ') }} again?"
        ),
        **asking(NUMBERS, "Reject", timedelta(hours=1)),
    )
    resend = CommandOperator(
        task_id="resend",
        argv=[
            *(*RESEND, "--yes", "--expect", "{{ answer_to(ti, 'approve_resend').about }}"),
            *("--answer", "{{ answer_to(ti, 'approve_resend').option }}"),
            *("--answered-by", "{{ answer_to(ti, 'approve_resend').by }}"),
            "--json",
        ],
        pool="plan",
        execution_timeout=timedelta(minutes=30),
    )

    @task.branch(task_id="choose_mode")
    def choose_mode(params: dict[str, Any] | None = None) -> str:
        """Return the first task of the mode."""
        chosen = params or {}
        if chosen["mode"] == "resend" and not chosen["campaigns"]:
            raise AirflowFailException("error: a resend needs campaigns; fill in the form's field Campaigns")
        return {"replay": "replay", "resend": "count_resend"}[chosen["mode"]]

    @task.short_circuit(task_id="anything_to_resend")
    def anything_to_resend(result: dict[str, Any]) -> bool:
        """Return whether there is a question to ask: about zero messages, nobody is asked."""
        return result["resent"] > 0

    choose_mode() >> [replay, count_resend]
    anything_to_resend(count_resend.output) >> approve_resend >> resend


campaign_backfill()
