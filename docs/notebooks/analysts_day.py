"""An analyst's day: what a span of nights was worth, by campaign and segment, with plots.

A percent script: run it whole (`make notebooks`), or cell by cell where an editor knows `# %%`. It reads the
lake of the settings (ANGELIA_HOME) and the nights of NOTEBOOK_FROM and NOTEBOOK_TO, by default the last 28
planned ones, makes their marts and writes HOME/reports/analysts_day.html.
"""

# %% [markdown]
# The nights: the last four weeks that were planned, unless two days are named.

# %%
import os

from angelia.commands.effects.mart import connected
from angelia.config import load_settings
from angelia.drawing import charts
from angelia.drawing.files import write_text
from angelia.drawing.page import empty, figure, page, section, table
from angelia.effects.attribution.mart import refresh
from angelia.effects.attribution.reading import read_mart
from angelia.effects.attribution.words import completeness_line
from angelia.effects.over import effects, ratios
from angelia.effects.panel import read_panel
from angelia.lake.configured import open_lake
from angelia.output import days_between

settings = load_settings()
lake = open_lake(settings=settings)
planned = sorted(leaf["ds"] for leaf in lake.partitions("decisions"))[-28:]
if not planned:
    raise SystemExit("error: nothing was decided in this lake; run a night first, such as `make run`")
first = os.environ.get("NOTEBOOK_FROM", planned[0])
last = os.environ.get("NOTEBOOK_TO", planned[-1])
days = days_between(first, last)
sections: list[str] = []

# %% [markdown]
# Credit: make the marts, and look at how complete they are before reading a figure.

# %%
with connected() as connection:
    made = refresh(connection, lake, days, lead_hours=settings.lead_hours, conversion="purchase")
for night in made:
    print(night.ds, completeness_line(night.commit.meta["complete"]))

# %% [markdown]
# A time series of what was sent, tapped and credited, and the same sums by two dimensions. Credit is no
# cause: it says where an event belongs, and the next cells say what messages changed.

# %%
with connected() as connection:
    series = read_mart(connection, lake, days, ("night",)).table.to_pylist()
    segments = read_mart(connection, lake, days, ("country", "tenure")).table.to_pylist()
names = [row["night"] for row in series]
plots = [
    figure(
        charts.columns(names, [charts.Series(name, [row[column] for row in series], css)], name, height=160)
    )
    for name, column, css in (
        ("sent", "n_sent", "s1"),
        ("tapped", "n_opened", "s2"),
        ("conversions", "n_conversions", "s2"),
    )
]
sections.append(section("series", "Night by night", "Sums of the marts.", *plots))
for row in segments:
    row["open_pct"] = 100 * row["n_opened"] / row["n_sent"] if row["n_sent"] else None
columns = [
    ("country", "country"),
    ("tenure", "person"),
    ("n_sent", "sent"),
    ("open_pct", "tapped, %"),
    ("n_conversions", "conversions"),
    ("conversion_value", "their value"),
]
sections.append(
    section(
        "segments", "By segment", "The same sums by country and tenure.", table(columns, segments, "Segments")
    )
)

# %% [markdown]
# Lift: everyone against the holdouts, with intervals that may be looked at every day.

# %%
with connected() as connection:
    panel = read_panel(connection, lake, days, lead_hours=settings.lead_hours, conversion="purchase")
rows, sides = effects(panel), ratios(panel)
for row in rows:
    held = row.adjusted or row.unadjusted
    interval = "no interval" if held is None else f"[{held.always_low:+.4g}, {held.always_high:+.4g}]"
    print(row.scope, row.metric, interval, "STANDS OUT" if row.stands_out else "")
drawn = [
    (
        row.scope,
        100 * estimate.difference,
        100 * estimate.always_low,
        100 * estimate.always_high,
        f"{100 * estimate.difference:+.3g}",
    )
    for row in rows
    if row.metric == "converted" and (estimate := row.adjusted or row.unadjusted) is not None
]
settled = [
    row.stands_out
    for row in rows
    if row.metric == "converted" and (row.adjusted or row.unadjusted) is not None
]
lead = "Converted, in percentage points, against the holdouts; always-valid 95 %."
sections.append(
    section(
        "lift",
        "What messages caused",
        lead,
        figure(charts.intervals(drawn, lead, settled)) if drawn else empty("Too few people did it yet."),
        *[empty(f"The sides of {side.scope} have the wrong size.") for side in sides if side.alarm],
    )
)

# %% [markdown]
# The page.

# %%
target = settings.home / "reports" / "analysts_day.html"
write_text(target, page("An analyst's day", f"<h1>{first} to {last}</h1>", sections, "<p>Sums only.</p>"))
print(target)
