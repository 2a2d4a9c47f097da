"""## Send every unfinished part whose window is open

**When.** Five minutes past every hour. A run is not bound to its hour: it sends *whatever is due*, so an
outage loses nothing that is still worth sending, and a backfill of this DAG is harmless. Parts whose window
closed during an outage are written down as `expired`, without a request.

**Reads** committed `dispatch_manifest` parts of branch main, `stops` and `suppressions`; **writes** seals,
claims, intents and outcomes beside the lake, and `delivery_ledger` and `push_receipts`.

Beside it, `export_intake` copies what came by REST and changed to `intake_messages`, `intake_steps` and
`intake_pending`: reports read these, and the night that is planned next leaves room for the last.

**Channels.** Those every installation knows have a pool and tasks each, with a worker for each part. What the
catalog names beside them shares `fan_out_other` and the pool `deliver_other`. There a channel has one worker
for each plan that has due parts (usually one plan, never more than four), which sends them one after the
other. So a storm at one provider usually holds one slot of that pool and never all of them: the other
channels go on in the rest.

**When it fails.**
- `fan_out_*` says a channel halted: its credentials or configuration are wrong. Correct them and clear the
  task; deferred rows are sent then.
- a worker was killed: the task's retry waits until nothing was heard of it for 300 s and takes its claim over
  (`angelia deliver … --takeover` at once); a holder that is heard of keeps its part. Rows in flight become `ambiguous` and are not sent again, unless the campaign is transactional.
  `angelia ledger status --ds D` accounts for every row.
- `export_intake`: the intake's database does not answer (check ANGELIA_INTAKE), or somebody ran `angelia intake
  export` at the same time. Nothing waits for it; the next run completes it.
- to stop a campaign now: `angelia catalog stop CAMPAIGN --reason "…"`, on one channel with `--channel sms`.
  Workers see it within ten seconds.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import jinja2
from _shared import DEFAULTS, DELIVERY_SLOTS, CommandOperator, command
from airflow.sdk import CronTriggerTimetable, Param, dag, task

from angelia.contracts.sources import CHANNELS, OTHER

SLOTS = str(DELIVERY_SLOTS)  # slots of each pool deliver_<channel>: that many workers share a quota
NOW = "{{ params.now or dag_run.run_after.isoformat() }}"


@dag(
    dag_id="hourly_dispatch",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("5 * * * *", timezone="UTC"),
    start_date=datetime(2022, 1, 1),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=3),
    default_args={**DEFAULTS, "retries": 3},
    template_undefined=jinja2.StrictUndefined,
    tags=["angelia", "delivery"],
    params={
        "now": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="As of",
            description="Instant to rehearse against a sandbox; empty = the run's own time.",
        ),
        "clock": Param(
            "wall",
            enum=["wall", "simulated"],
            title="Clock",
            description="simulated: a rehearsal, refused by real providers.",
        ),
    },
)
def hourly_dispatch():
    """Chain the hour's tasks."""
    command(
        "export_intake",
        ["angelia", "intake", "export", "--json"],
        outlets=("intake_messages", "intake_steps", "intake_pending"),
        execution_timeout=timedelta(minutes=50),
    )
    due_parts = CommandOperator(
        task_id="due_parts", argv=["angelia", "ledger", "due", "--now", NOW, "--json"]
    )

    @task(task_id="list_parts")
    def list_parts(
        due: dict[str, Any], channel: str, params: dict[str, Any] | None = None
    ) -> list[list[str]]:
        """Return the delivery commands, which also send follow-ups: one for each due part.

        Of the channels that share a pool: one for each channel and plan.
        """
        clock = (params or {}).get("clock", "wall")
        which = dict.fromkeys(
            (part["ds"], part["send_hour"], str(part["part"]), part["channel"])
            for part in due["parts"]
            if part["channel"] == channel or (channel == OTHER and part["channel"] not in CHANNELS)
        )
        # The retry of a killed task comes before the lease of its dead worker ends.
        how = ("--wait-for-lease", "--clock", clock, "--json")
        if channel != OTHER:
            own = ("--channel", channel, "--slots", SLOTS, *how)
            return [
                ["angelia", "deliver", "--ds", ds, "--send-hour", hour, "--part", part, *own]
                for ds, hour, part, _ in which
            ]
        # Channels that share a pool have a worker for each plan: with one for each part, a channel whose
        # provider storms would fill the pool, and the others would wait.
        hours = dict[tuple[str, str], dict[str, None]]()
        for ds, hour, _, name in which:
            hours.setdefault((name, ds), {})[hour] = None
        n_workers = Counter(name for name, _ in hours)
        return [
            ["angelia", "deliver", "--ds", ds, "--channel", name, "--slots", str(n_workers[name]), *how]
            + [word for hour in due_hours for word in ("--send-hour", hour)]
            for (name, ds), due_hours in hours.items()
        ]

    for channel in (*CHANNELS, OTHER):
        CommandOperator.partial(
            task_id=f"fan_out_{channel}",
            pool=f"deliver_{channel}",
            execution_timeout=timedelta(hours=1),
            do_xcom_push=False,
        ).expand(argv=list_parts.override(task_id=f"list_parts_{channel}")(due_parts.output, channel))


hourly_dispatch()
