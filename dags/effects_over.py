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

from datetime import datetime, timedelta

import jinja2
from _shared import DEFAULTS, command, last_closed
from airflow.sdk import CronDataIntervalTimetable, Param, dag

from angelia.contracts.sources import NAME

NIGHTS = 28
LAST = "params.last or ds | default(none) or last_closed(dag_run)"


@dag(
    dag_id="effects_over",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("40 6 * * *", timezone="UTC"),
    start_date=datetime(2022, 1, 1),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=3),
    default_args=DEFAULTS,
    template_undefined=jinja2.StrictUndefined,
    user_defined_macros={"last_closed": last_closed},
    tags=["angelia", "effects"],
    params={
        "first": Param(
            None,
            type=["null", "string"],
            format="date",
            title="First night compared",
            description=f"Day of the first plan; empty = {NIGHTS} nights in all.",
        ),
        "last": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Last night compared",
            description="Day of the last plan, included; empty = the last closed day.",
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
