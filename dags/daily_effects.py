"""## What the last plans caused

**When.** 06:00 UTC on D+1. The plan made for D-1 has sent its last hour by then; the plans of D-2 and D-4 are
read again, since opens count for 24 hours, and conversions and delivery reports arrive even later.

First `mart` credits what people did to messages and makes `effects_mart` of the last 14 nights again, where
anything late has come in; pages say how complete their night is. `series` draws the last 28 of them as
HOME/reports/series.html. `drift` compares the features and scores of D with those of the same weekday before.

**Reads** `decisions`, `decided_pairs`, manifests, `delivery_ledger`, `push_receipts`, `user_features` and
`user_events` of branch main; **writes** `effects_mart`, HOME/reports/DAY.html and one commit of
`campaign_effects` (and `intake_usage`, where clients use the intake) for every day read. Days without a plan
are left out. The pages of the gates' checks (HOME/reports/data_docs) are rebuilt, too. A run without a date
takes the last closed UTC day as D.

**When it fails.**
- `report` says that critical checks of a table failed: the page exists and shows them, but no effects were
  published. The message names the table and the check, whose SQL is in `sql/TABLE/checks.sql`. Remove the
  cause, then clear the task.
- `mart` says that a critical check failed: no mart of that night or a later one was published; its SQL is in
  `sql/TABLE/checks.sql`. Nights that are up to date are left alone when it is cleared. The pages are made all
  the same, without the marts that are missing; `all_made` turns the run red.
- `drift` says that columns moved by the alarm's index or more: nothing else is held up, and this failure is
  the alarm. Look at the sources of the columns that it names; if the change is here to stay, train again. The
  parameter `drift_alarm` is the index (0.25 by default), 0 switches the task off.
- there is nothing to do: no plan was made for any of these days; see `nightly_personalization`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import jinja2
from _shared import DEFAULTS, CommandOperator, command, last_closed
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import CronDataIntervalTimetable, Param, dag, task

from angelia.contracts.sending import FOLD_DAYS
from angelia.contracts.sources import NAME

AGES = (1, 2, 4)  # days between D and the day a plan was made for
DRAWN_DAYS = 28
DRIFT_DAYS = 7  # the same weekday: what people do goes by the week


def main_lake() -> Any:
    """Open the lake on main, which holds what was sent."""
    # Imported here, since Airflow parses this file every few seconds.
    from angelia.lake.configured import open_lake

    return open_lake("main")


@dag(
    dag_id="daily_effects",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("0 6 * * *", timezone="UTC"),
    start_date=datetime(2022, 1, 1),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=3),
    default_args=DEFAULTS,
    template_undefined=jinja2.StrictUndefined,
    tags=["angelia", "effects"],
    params={
        "conversion": Param(
            "purchase",
            type="string",
            pattern=NAME,
            title="Conversion",
            description="Event type that counts as a conversion, such as purchase.",
        ),
        "drift_alarm": Param(
            0.25,
            type="number",
            minimum=0,
            maximum=100,
            title="Drift alarm",
            description="Stability index from which a feature or score raises an alarm; 0 = do not compare.",
        ),
    },
)
def daily_effects():
    """Chain the day's tasks."""

    @task(task_id="marts")
    def marts(
        ds: str | None = None, params: dict[str, str] | None = None, dag_run: Any = None
    ) -> list[list[str]]:
        """Return one command for the nights that are still folded in, if any was planned."""
        lake = main_lake()
        last = datetime.strptime(ds or last_closed(dag_run), "%Y-%m-%d") - timedelta(days=AGES[0])
        days = [(last - timedelta(days=age)).strftime("%Y-%m-%d") for age in range(FOLD_DAYS)]
        words = ["--conversion", (params or {})["conversion"], "--json"]
        return (
            [["angelia", "effects", "mart", "--from", days[-1], "--to", days[0], *words]]
            if any(lake.head("decisions", ds=day) for day in days)
            else []
        )

    @task(task_id="reports")
    def reports(
        ds: str | None = None, params: dict[str, str] | None = None, dag_run: Any = None
    ) -> list[list[str]]:
        """Return one report command for each day that has a plan."""
        lake = main_lake()
        last = datetime.strptime(ds or last_closed(dag_run), "%Y-%m-%d")
        days = [(last - timedelta(days=age)).strftime("%Y-%m-%d") for age in AGES]
        conversion = (params or {})["conversion"]
        return [
            ["angelia", "report", "--ds", day, "--conversion", conversion, "--json"]
            for day in days
            if lake.head("decisions", ds=day)
        ]

    @task(task_id="spans")
    def spans(ds: str | None = None, dag_run: Any = None) -> list[list[str]]:
        """Return the command that draws the last nights, if any was planned."""
        lake = main_lake()
        last = datetime.strptime(ds or last_closed(dag_run), "%Y-%m-%d") - timedelta(days=AGES[0])
        days = [(last - timedelta(days=age)).strftime("%Y-%m-%d") for age in range(DRAWN_DAYS)]
        is_planned = any(lake.head("decisions", ds=day) for day in days)
        words = ["angelia", "effects", "series", "--from", days[-1], "--to", days[0], "--json"]
        return [words] if is_planned else []

    @task(task_id="compared")
    def compared(
        ds: str | None = None, params: dict[str, Any] | None = None, dag_run: Any = None
    ) -> list[list[str]]:
        """Return the command that compares D with a week before, where both have features."""
        lake, alarm = main_lake(), float((params or {})["drift_alarm"])
        day = datetime.strptime(ds or last_closed(dag_run), "%Y-%m-%d")
        days = [(day - timedelta(days=age)).strftime("%Y-%m-%d") for age in (0, DRIFT_DAYS)]
        if not alarm or not all(lake.head("user_features", ds=each) for each in days):
            return []
        bounds = ["--look", f"{min(0.1, alarm):g}", "--alarm", f"{alarm:g}"]
        return [["angelia", "effects", "drift", "--ds", days[0], "--against", days[1], *bounds, "--json"]]

    command("data_docs", ["angelia", "quality", "docs", "--json"], execution_timeout=timedelta(minutes=20))
    mart = CommandOperator.partial(
        task_id="mart", execution_timeout=timedelta(minutes=60), do_xcom_push=False
    ).expand(argv=marts())
    # A page without its mart says so; it is not held back.
    report = CommandOperator.partial(
        task_id="report",
        execution_timeout=timedelta(minutes=30),
        do_xcom_push=False,
        trigger_rule="all_done",
    ).expand(argv=reports())
    # A night that could not be made is missing on the page, and named there.
    series = CommandOperator.partial(
        task_id="series",
        execution_timeout=timedelta(minutes=20),
        do_xcom_push=False,
        trigger_rule="all_done",
    ).expand(argv=spans())
    # An alarm fails the task, which is how the notifier hears of it; nothing waits for it.
    CommandOperator.partial(
        task_id="drift", execution_timeout=timedelta(minutes=30), do_xcom_push=False
    ).expand(argv=compared())
    # Without it the run would be green where `mart` failed: the pages succeed whatever came before. Where no
    # night was planned all three are skipped, which is no failure.
    all_made = EmptyOperator(task_id="all_made", trigger_rule="none_failed")
    mart >> [report, series]
    [mart, report, series] >> all_made


daily_effects()
