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

from datetime import timedelta

from _shared import CommandOperator, question_dag
from airflow.sdk import CronTriggerTimetable


@question_dag(
    __doc__, hours=1, tags=["delivery"], schedule=CronTriggerTimetable("*/5 * * * *", timezone="UTC")
)
def event_triggers():
    """Trigger once."""
    CommandOperator(
        task_id="trigger_messages",
        argv=["angelia", "intake", "triggers", "--json"],
        execution_timeout=timedelta(minutes=55),
    )


event_triggers()
