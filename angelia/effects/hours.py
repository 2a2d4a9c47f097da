"""The report's hours: planned, sent and opened messages by hour.

Reads the report's tables; returns an HTML section.
"""

from __future__ import annotations

from angelia.drawing import charts
from angelia.drawing.charts import Series
from angelia.drawing.page import details, empty, figure, legend, section, table
from angelia.effects.findings import Findings


def hours(found: Findings) -> str:
    """Return the section of planned, sent and opened messages by hour."""
    rows = found.tables["sends_by_hour"].rows
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
