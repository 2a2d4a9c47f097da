"""## What the messages of many nights caused

**When.** 06:40 UTC every day, over the last 28 nights. By hand for another span: the console's page *Effects*
fills in the form; *Trigger* opens it, too.

**Reads** `decisions`, `catalog_snapshot`, `user_events` and `push_receipts` of branch main; **writes** the figures
of `angelia effects over` and `angelia effects power` beside the last night's verdicts, where the console shows
them. A run without a date takes the last closed UTC day as the last night.

**When it fails.**
- `over` says that nothing was decided, or that no events have arrived: the span is too young; import
  `user_events`, or name other nights.
- `over` says that the sides are not as large as the hash makes them: the figures are kept, with the alarm. Trust
  no difference of these scopes; look for what changes who is considered on one side.
"""

from __future__ import annotations

from _shared import command, last_closed, optional, question_dag
from airflow.sdk import CronDataIntervalTimetable, Param

from angelia.contracts.sources import NAME

NIGHTS = 28
LAST = "params.last or ds | default(none) or last_closed(dag_run)"


@question_dag(
    __doc__,
    hours=3,
    tags=["effects"],
    schedule=CronDataIntervalTimetable("40 6 * * *", timezone="UTC"),
    user_defined_macros={"last_closed": last_closed},
    params={
        "first": optional(
            "First night compared", f"Day of the first plan; empty = {NIGHTS} nights in all.", format="date"
        ),
        "last": optional(
            "Last night compared",
            "Day of the last plan, included; empty = the last closed day.",
            format="date",
        ),
        "conversion": Param(
            "purchase",
            type="string",
            pattern=NAME,
            title="Conversion compared",
            description="Event type that counts as a conversion, such as purchase.",
        ),
    },
)
def effects_over():
    """Compare them."""
    command(
        "over",
        [
            *("angelia", "effects", "over"),
            *("--from", "{{ params.first or macros.ds_add(" + LAST + f", {1 - NIGHTS}" + ") }}"),
            *("--to", "{{ " + LAST + " }}", "--conversion", "{{ params.conversion }}", "--keep", "--json"),
        ],
    )


effects_over()
