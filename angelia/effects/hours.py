"""The report's hours: this night's by hour, and the last nights' by weekday and hour.

Reads the report's tables and the meta of past plans; returns HTML sections.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from angelia.contracts.certificate import messages_of
from angelia.drawing import charts, grids
from angelia.drawing.charts import Series
from angelia.drawing.page import details, empty, figure, legend, section, table
from angelia.effects.findings import Findings
from angelia.effects.sources import PLAN_HOURS, PLANS_DAYS
from angelia.lake import Commit

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def hours(findings: Findings) -> str:
    """Return the section of planned, sent and opened messages by hour."""
    rows = findings.tables["sends_by_hour"].rows
    lead = (
        "Messages by the UTC hour they were planned for and left in; opens count at the hour of their send."
    )
    if not any(row["planned"] or row["sent"] for row in rows):
        return section("hours", "Sends by hour", lead, empty("No message is planned for this day."))
    labels = [f"{row['hour']:%H}" for row in rows]
    series = [
        Series(name, [float(row[name]) for row in rows], css)
        for name, css in (("planned", "s1"), ("sent", "s2"), ("opened", "s3"))
    ]
    busiest = max(rows, key=lambda row: row["planned"])
    chart = charts.columns(
        labels,
        series,
        f"Planned, sent and opened messages by hour; most are planned for {busiest['hour']:%d %b %H:00}",
        mark=[f"{row['hour']:%d %b}" for row in rows],
    )
    shown = [{**row, "hour": f"{row['hour']:%Y-%m-%d %H:00}"} for row in rows]
    columns = [
        ("hour", "hour (UTC)"),
        ("planned", "planned"),
        ("sent", "sent"),
        ("opened", "opened"),
        ("open_pct", "open rate, %"),
    ]
    return section(
        "hours",
        "Sends by hour",
        lead,
        legend([("s1", "planned"), ("s2", "sent (accepted or ambiguous)"), ("s3", "opened within 24 h")]),
        figure(chart),
        details("Numbers", table(columns, shown, "Messages by hour")),
    )


def send_times(findings: Findings) -> str:
    """Return the heat map of planned messages by weekday and hour over the last nights' plans."""
    means = mean_messages(findings.sources.plans)
    n = len(findings.sources.plans)
    lead = (
        f"Messages planned for each weekday and UTC hour, on average over the plans of the last {PLANS_DAYS} "
        f"nights; an empty cell was not in {'the one plan' if n == 1 else f'any of these {n} plans'}."
    )
    if not any(means.values()):
        return ""
    grid = [(name, [means.get((day, hour)) for hour in range(24)]) for day, name in enumerate(WEEKDAYS)]
    (day, hour), most = max(means.items(), key=lambda item: item[1])
    chart = grids.heat(
        grid,
        [f"{hour:02d}" for hour in range(24)],
        f"Planned messages by weekday and UTC hour; most on {WEEKDAYS[day]} at {hour:02d}:00, {most:,.0f}",
    )
    return section("send_times", "Planned send times by weekday", lead, figure(chart))


def mean_messages(plans: Sequence[Commit]) -> dict[tuple[int, int], float]:
    """Return (weekday, UTC hour) -> planned messages, averaged over plans that cover the cell."""
    planned, covered = Counter[tuple[int, int]](), Counter[tuple[int, int]]()
    for plan in plans:
        # Plans of earlier versions lack their messages by hour.
        if "messages" not in plan.meta or "start" not in plan.meta:
            continue
        start = datetime.fromisoformat(str(plan.meta["start"])).astimezone(UTC)
        covered.update(_cell(start + timedelta(hours=k)) for k in range(PLAN_HOURS))
        for message in messages_of(plan.meta):
            planned[_cell(datetime.fromisoformat(f"{message.slot}:00"))] += message.n
    return {cell: planned[cell] / n for cell, n in sorted(covered.items())}


def _cell(hour: datetime) -> tuple[int, int]:
    return hour.weekday(), hour.hour
