"""## Make messages of what people just did

**When.** Every five minutes: campaigns that say `trigger` ("left a cart, no purchase within 60 minutes") are
in no night's plan; they are set off here, and sent by `intake_dispatch` or an `angelia intake dispatch`.

**First** what a Kafka topic has since the last run becomes `user_events` (docs/IMPORT.md), where ANGELIA_EVENTS
names its mapping; else `import_events` has nothing to do. Triggers run whatever becomes of it; the run fails
if either does (`read_and_triggered`).

**Reads** the files of `user_events` that no run has read yet, the newest night's `user_features`,
`bitmap_index` and `catalog_snapshot`, and `stops`; **writes** messages into the intake database.

**When it fails.**
- `nobody can be reached`: no night has run yet; see `nightly_personalization` and `angelia bootstrap`.
- exit code 3: a campaign's audience or condition cannot be asked of the night's index (a list that is gone),
  and the log names it. Its events wait, and come again with the next run.
- `import_events` fails: its one line names the fix (a broker that is away, a mapping that rejects, messages
  that expired unread). Nothing is half written, and the next run goes on from the lake's own offsets.
- the database does not answer: nothing was noted as read. Check ANGELIA_INTAKE.
- a run was killed: the next one goes on; an occurrence has one message, however often it is tried.
"""

from __future__ import annotations

from datetime import timedelta

from _shared import CommandOperator, question_dag
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import CronTriggerTimetable


@question_dag(
    __doc__, hours=1, tags=["delivery"], schedule=CronTriggerTimetable("*/5 * * * *", timezone="UTC")
)
def event_triggers():
    """Trigger once."""
    events = CommandOperator(
        task_id="import_events",
        argv=["angelia", "import", "--events", "--json"],
        execution_timeout=timedelta(minutes=15),
    )
    messages = CommandOperator(
        task_id="trigger_messages",
        argv=["angelia", "intake", "triggers", "--json"],
        # Events that came otherwise, and what is due, do not wait for a broker.
        trigger_rule="all_done",
        execution_timeout=timedelta(minutes=35),
    )
    # Without it the run would be green while the topic is not read: `messages` succeeds whatever came before.
    read_and_triggered = EmptyOperator(task_id="read_and_triggered")
    events >> messages
    [events, messages] >> read_and_triggered


event_triggers()
