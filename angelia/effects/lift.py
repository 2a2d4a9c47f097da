"""The report's effects: lift over the holdouts, experiments by arm, and counts by campaign.

Reads the report's tables; returns HTML sections.
"""

from __future__ import annotations

from html import escape
from typing import Any

from angelia.drawing import charts
from angelia.drawing.page import details, empty, figure, section, table
from angelia.drawing.svg import number
from angelia.effects.findings import Findings
from angelia.effects.multiple import holm
from angelia.effects.sources import AFTER_HOURS
from angelia.output import written_out


def caused(findings: Findings) -> tuple[str, str, str]:
    """Return the key figure of all marketing: by how much more people converted."""
    what = f"in people with a {findings.conversion} event, against those held out"
    rows = findings.tables["holdout_lift"].rows
    both = [row for row in rows if (row["scope"], row["metric"]) == ("all", "converted")]
    if not both:
        return "–", what, "not measurable yet"
    (row,) = both
    grows = "; may still move" if _is_growing(findings) else ""
    return (
        f"{100 * row['difference']:+.2f} % points",
        what,
        f"95 %: {100 * row['low']:+.2f} to {100 * row['high']:+.2f}{grows}",
    )


def _is_growing(findings: Findings) -> bool:
    until = findings.sources.observed_until()
    return until is not None and until < findings.sources.night.window_end.date()


def lift(findings: Findings) -> str:
    """Return intention-to-treat lift over the holdouts, with intervals."""
    night, rows = findings.sources.night, findings.tables["holdout_lift"].rows
    lead = (
        "Everyone eligible, told or not, against those a hash held out before planning. A difference "
        "whose interval crosses zero may be chance."
    )
    until = findings.sources.observed_until()
    if not rows:
        why = (
            "No holdout group to compare with."
            if until is not None
            else (
                f"Not measurable yet: no events have arrived for the planned day "
                f"({night.plan_start:%Y-%m-%d}) or after."
            )
        )
        return section("lift", "What the messages caused", lead, empty(why))
    parts = []
    # Colour says that a difference is settled: the window is over, and it stands out among all the intervals
    # of the section.
    is_growing = _is_growing(findings)
    stands_out = [
        not is_growing and held
        for held in holm([(row["difference"], row["low"], row["high"]) for row in rows])
    ]
    for metric, heading, unit in (
        ("converted", f"People with a `{findings.conversion}` event, difference in percentage points", 100.0),
        ("active_days", "Days with activity per person, difference in days", 1.0),
    ):
        chosen = [row for row in rows if row["metric"] == metric]
        coloured = [held for row, held in zip(rows, stands_out, strict=True) if row["metric"] == metric]
        if not chosen:
            continue
        drawn = [
            (
                "All marketing (global holdout)" if row["scope"] == "all" else row["scope"],
                unit * row["difference"],
                unit * row["low"],
                unit * row["high"],
                "{}  [{}, {}]".format(
                    *(written_out(unit * row[name], 3, signed=True) for name in ("difference", "low", "high"))
                ),
            )
            for row in chosen
        ]
        label = "; ".join(f"{name}: {note}" for name, _, _, _, note in drawn)
        parts.append(
            f"<h3>{escape(heading.replace('`', ''))}</h3>"
            + figure(charts.intervals(drawn, f"{heading}: {label}", coloured))
        )
    columns = [
        ("scope", "scope"),
        ("metric", "metric"),
        ("n_treated", "people, not held out"),
        ("n_holdout", "people, held out"),
        ("mean_treated", "mean, not held out"),
        ("mean_holdout", "mean, held out"),
        ("difference", "difference"),
        ("low", "95 % from"),
        ("high", "to"),
    ]
    window = (
        f"Counted from {night.plan_start:%d %b %H:%M} to {night.window_end:%d %b %H:%M} UTC "
        f"({AFTER_HOURS} h after the planned day)"
    )
    if is_growing:
        window += (
            f"; events have arrived up to {until:%d %b} only, so these figures will still grow, and "
            f"none is coloured"
        )
    else:
        window += (
            f". Coloured is what stands out among all {number(len(rows))} intervals (Holm's "
            f"correction, 5 % in all)"
        )
    return section(
        "lift",
        "What the messages caused",
        lead,
        *parts,
        f'<p class="soft">{window}.</p>',
        details("Numbers", table(columns, rows, "Lift")),
    )


def experiments(findings: Findings) -> str:
    """Return the read-out of each experiment by arm; nothing without experiments."""
    rows = findings.tables["experiments"].rows
    if not rows:
        return ""
    columns = [
        ("campaign_id", "campaign"),
        ("arm", "arm"),
        ("n_users", "people"),
        ("n_planned", "planned"),
        ("n_sent", "accepted"),
        ("n_opened", "opened"),
        ("open_pct", "opened, % of people"),
        ("low_pct", "95 % from"),
        ("high_pct", "to"),
    ]
    shown = [
        {
            **row,
            "open_pct": 100 * row["open_rate"],
            "low_pct": 100 * row["low"],
            "high_pct": 100 * row["high"],
        }
        for row in rows
    ]
    return section(
        "experiments",
        "Experiments",
        "Arms by everyone assigned to them and not held out, whether or not a message was chosen for them.",
        table(columns, shown, "Read-out by campaign and arm (Wilson intervals)"),
    )


def campaigns(findings: Findings) -> str:
    """Return each campaign's counts by arm and by material; nothing without effects."""
    rows = findings.tables["campaign_effects"].rows
    if not rows:
        return ""
    totals: dict[tuple[str, str], dict[str, Any]] = {}
    names = ("n_users", "n_sent", "n_opened", "n_converted", "n_unsubscribed")
    for row in rows:
        total = totals.setdefault(
            (row["campaign_id"], row["arm"]),
            {"campaign": row["campaign_id"], "arm": row["arm"], **dict.fromkeys(names, 0)},
        )
        for name in names:
            total[name] += row[name]
    shown = [
        {**row, "open_pct": 100 * row["n_opened"] / row["n_sent"] if row["n_sent"] else None}
        for row in totals.values()
    ]
    columns = [
        ("campaign", "campaign"),
        ("arm", "arm"),
        ("n_users", "people"),
        ("n_sent", "accepted"),
        ("n_opened", "opened"),
        ("open_pct", "open rate, %"),
        ("n_converted", "converted"),
        ("n_unsubscribed", "unsubscribed"),
    ]
    # Rows without a material are an arm's people to whom none was sent.
    materials = [
        {**row, "open_pct": 100 * row["n_opened"] / row["n_sent"] if row["n_sent"] else None}
        for row in rows
        if row["material_id"] is not None
    ]
    by_material = [
        ("campaign_id", "campaign"),
        ("arm", "arm"),
        ("material_id", "material"),
        ("channel", "channel"),
        ("n_users", "people"),
        ("n_opened", "opened"),
        ("open_pct", "open rate, %"),
    ]
    lead = (
        "People sent to and held out. Open rates differ between campaigns because their audiences do; "
        "what a campaign causes stands under lift."
    )
    return section(
        "effects",
        "Campaigns",
        lead,
        table(columns, shown, "By campaign and arm"),
        details("By material", table(by_material, materials, "By material and channel")),
    )
