"""## Send every unfinished part whose window is open

**When.** Five minutes past every hour. A run is not bound to its hour: it sends *whatever is due*, so an
outage loses nothing that is still worth sending, and a backfill of this DAG is harmless. Parts whose window
closed during an outage are written down as `expired`, without a request.

**Reads** committed `dispatch_manifest` parts of branch main, `stops` and `suppressions`; **writes** seals,
claims, intents and outcomes beside the lake, and `delivery_ledger` and `push_receipts`.

Beside it, `export_intake` copies what came by REST and changed to `intake_messages`, `intake_steps` and
`intake_pending`: reports read these, and the night that is planned next leaves room for the last.

**Channels.** Those every installation knows have a pool and tasks each; what the catalog names beside them
shares `fan_out_other` and the pool `deliver_other`, by turns: each channel's first part goes before anybody's
second. A storm at one of their providers can still hold as many slots of that pool as it has parts.

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
        """Return one delivery command for each due part, which also sends its follow-ups."""
        clock = (params or {}).get("clock", "wall")
        which = dict.fromkeys(
            (part["ds"], part["send_hour"], str(part["part"]), part["channel"])
            for part in due["parts"]
            if part["channel"] == channel or (channel == OTHER and part["channel"] not in CHANNELS)
        )
        # Channels that share a pool take turns: else one whose provider storms would fill it with its parts.
        n_before, turns = Counter[str](), list[tuple[int, tuple[str, str, str, str]]]()
        for each in which:
            turns.append((n_before[each[3]], each))
            n_before[each[3]] += 1
        # The retry of a killed task comes before the lease of its dead worker ends.
        how = ("--wait-for-lease", "--slots", SLOTS, "--clock", clock, "--json")
        return [
            ["angelia", "deliver", "--ds", ds, "--send-hour", hour, "--part", part, "--channel", name, *how]
            for _, (ds, hour, part, name) in sorted(turns, key=lambda turn: turn[0])
        ]

    for channel in (*CHANNELS, OTHER):
        CommandOperator.partial(
            task_id=f"fan_out_{channel}",
            pool=f"deliver_{channel}",
            execution_timeout=timedelta(hours=1),
            do_xcom_push=False,
        ).expand(argv=list_parts.override(task_id=f"list_parts_{channel}")(due_parts.output, channel))


hourly_dispatch()
