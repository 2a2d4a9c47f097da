"""A span of nights as one page: charts night by night, deliverability by phone maker.

Reads `effects_mart` only; the page is text that depends on nothing else. Surprise: a night whose events still
arrive is drawn as it stands, and named below the charts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from angelia.drawing import charts
from angelia.drawing.page import Html, empty, figure, listed, page, section, table
from angelia.effects.attribution.reading import MartFigures, read_mart
from angelia.effects.attribution.words import completeness_line, gaps_line
from angelia.lake import Lake

_DRAWN = (
    ("sent", (("sent", "n_sent", "s1"), ("delivered", "n_delivered", "s2"))),
    ("tapped", (("tapped", "n_opened", "s1"), ("app opened", "n_influenced", "s2"))),
    ("conversions credited", (("conversions", "n_conversions", "s2"),)),
    ("value credited", (("value", "conversion_value", "s2"),)),
    ("unsubscribed", (("unsubscribed", "n_unsubscribed", "s1"), ("complained", "n_complained", "s2"))),
)
_NIGHTS = (
    ("night", "night"),
    ("n_sent", "sent"),
    ("delivered_pct", "delivered, %"),
    ("opened_pct", "tapped, %"),
    ("n_conversions", "conversions"),
    ("conversion_value", "their value"),
    ("n_unsubscribed", "unsubscribed"),
    ("n_complained", "complained"),
)
_REACHED = (
    ("channel", "channel"),
    ("device_vendor", "phone"),
    ("n_sent", "sent"),
    ("delivered_pct", "delivered, %"),
    ("displayed_pct", "displayed, %"),
    ("bounced_pct", "bounced, %"),
    ("opened_pct", "tapped, %"),
)


def draw_series(
    connection: duckdb.DuckDBPyConnection, lake: Lake, days: Sequence[str]
) -> tuple[str, MartFigures]:
    """Return the page of a span of nights, and its sums by night.

    Raises:
        NotFound: no night of the span has a mart.
    """
    nights = read_mart(connection, lake, days, ("night",))
    reached = read_mart(connection, lake, days, ("channel", "device_vendor"))
    rows = [with_shares(row) for row in nights.table.to_pylist()]
    names = [row["night"] for row in rows]
    plots = [
        figure(
            charts.columns(
                names,
                [charts.Series(name, [row[column] for row in rows], css) for name, column, css in drawn],
                title,
                height=160,
            )
        )
        for title, drawn in _DRAWN
    ]
    parts = [
        section(
            "series",
            "Night by night",
            "Sums of the marts. Credit is no cause: what messages caused stands under lift.",
            *plots,
            table(_NIGHTS, rows, "Figures by night"),
            *_growing(nights),
        ),
        section(
            "reached",
            "Did they arrive?",
            "Delivery reports, displays, bounces and taps of what was sent, by channel and phone maker.",
            table(_REACHED, [with_shares(row) for row in _sent(reached)], "Deliverability"),
        ),
    ]
    head = f"<h1>{names[0]} to {names[-1]}</h1>"
    return page("Effects over nights", head, parts, "<p>Sums only: no person stands here.</p>"), nights


def with_shares(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of sums with shares of what was sent in per cent; None of nothing sent."""
    sent = row["n_sent"]
    shares = {
        f"{name}_pct": 100.0 * row[f"n_{name}"] / sent if sent else None
        for name in ("delivered", "displayed", "bounced", "opened")
    }
    return {**row, **shares}


def _sent(reached: MartFigures) -> list[dict[str, Any]]:
    rows = [row for row in reached.table.to_pylist() if row["n_sent"]]
    return sorted(rows, key=lambda row: (row["channel"] or "", -row["n_sent"], row["device_vendor"] or ""))


def _growing(nights: MartFigures) -> list[str]:
    """Return what is not settled yet: nights that still grow, and those without a mart."""
    says = [
        f"{night}: {completeness_line(complete)}"
        for night, complete in nights.complete.items()
        if complete and not complete.get("is_final")
    ]
    says += [f"{night}: planned, without a mart" for night in nights.missing]
    # Days before the first night would be a long list of which nothing can be made.
    says += [gaps_line((), nights.unplanned)] if nights.unplanned else []
    return [listed([Html(line) for line in says])] if says else [empty("Every night is complete.")]
