"""## Make messages of what people just did

**When.** Every five minutes: campaigns that say `trigger` ("left a cart, no purchase within 60 minutes") are
in no night's plan; they are set off here, and sent by `intake_dispatch` or an `angelia intake dispatch`.

**Reads** the files of `user_events` that no run has read yet, the newest night's `user_features`,
`bitmap_index` and `catalog_snapshot`, and `stops`; **writes** messages into the intake database.

**When it fails.**
- `nobody can be reached`: no night has run yet; see `nightly_personalization` and `angelia bootstrap`.
- exit code 3: a campaign's audience or condition cannot be asked of the night's index (a list that is gone),
  and the log names it. Its events wait, and come again with the next run.
- the database does not answer: nothing was noted as read. Check ANGELIA_INTAKE.
- a run was killed: the next one goes on; an occurrence has one message, however often it is tried.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import jinja2
from _shared import DEFAULTS, CommandOperator
from airflow.sdk import CronTriggerTimetable, dag


@dag(
    dag_id="event_triggers",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("*/5 * * * *", timezone="UTC"),
    start_date=datetime(2022, 1, 1),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
    default_args=DEFAULTS,
    template_undefined=jinja2.StrictUndefined,
    tags=["angelia", "delivery"],
)
def event_triggers():
    """Trigger once."""
    CommandOperator(
        task_id="trigger_messages",
        argv=["angelia", "intake", "triggers", "--json"],
        execution_timeout=timedelta(minutes=55),
    )


event_triggers()
