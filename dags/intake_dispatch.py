"""## Send what is due in the intake

**When.** Every minute, for installations that run no `angelia intake dispatch` of their own, which answers
within a second. A run sends what is due when it begins and ends; runs beside a dispatcher share the work.

**Reads** the intake database, the newest night's `user_features` and `user_endpoints`, `catalog_snapshot`,
`stops` and `suppressions`; **writes** `dispatch_intake`, claims, intents and outcomes beside the lake,
`delivery_ledger` and `push_receipts`, and each message's steps back into the database.

**When it fails.**
- exit code 3: a channel halted, or a batch met a problem, which the log names. Its messages come again with
  the next run; a channel needs its credentials put right.
- `nobody can be reached`: no night has run yet; see `nightly_personalization` and `angelia bootstrap`.
- the database does not answer: nothing was claimed. Check ANGELIA_INTAKE.
- a run was killed: the next one takes its batches over, at once on the same machine, else after 30 s.
"""

from __future__ import annotations

from datetime import timedelta

from _shared import DELIVERY_SLOTS, CommandOperator, question_dag
from airflow.sdk import CronTriggerTimetable

SLOTS = str(DELIVERY_SLOTS + 1)  # the pools' workers may send at the same time, and share the quota


@question_dag(__doc__, hours=1, tags=["delivery"], schedule=CronTriggerTimetable("* * * * *", timezone="UTC"))
def intake_dispatch():
    """Dispatch once."""
    CommandOperator(
        task_id="dispatch_intake",
        argv=["angelia", "intake", "dispatch", "--once", "--slots", SLOTS, "--json"],
        execution_timeout=timedelta(minutes=55),
    )


intake_dispatch()
