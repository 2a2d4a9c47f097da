"""Charts as inline SVG text: columns, lines, bars, intervals, trends.

Input is plain numbers and labels; output is deterministic text with two decimals. No script and no style
attributes: colours come by CSS class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from angelia.drawing.svg import (
    CHARACTER,
    WIDE,
    days_axis,
    fit,
    nice_ticks,
    number,
    responsive,
    short,
    svg,
    text_at,
)


@dataclass(frozen=True)
class Series:
    """One named series; `css` is its colour class (s1, s2, s3)."""

    name: str
    values: Sequence[float]
    css: str


@dataclass(frozen=True)
class Trend:
    """One small line over days; None is a gap.

    `limit` is drawn where it fits the scale; `is_bad` colours the newest value.
    """

    name: str
    values: Sequence[float | None]
    note: str
    limit: float | None = None
    is_bad: bool = False
    digits: int = 0
    unit: str = ""


def columns(
    labels: Sequence[str],
    series: Sequence[Series],
    label: str,
    *,
    mark: Sequence[str] = (),
    height: int = 260,
) -> str:
    """Return overlapping columns per label, the first series widest and behind the others.

    So planned, sent and opened messages stand as parts of each other.

    Args:
        labels: one per column, e.g. hours.
        series: each as long as `labels`.
        mark: a second line of labels (e.g. the day), shown where it changes.
    """

    def draw(width: int) -> str:
        left, right, top, bottom = 44, 8, 12, 40 if mark else 26
        ticks = nice_ticks(max((max(s.values, default=0) for s in series), default=0))
        span_x, span_y = width - left - right, height - top - bottom
        slot = span_x / max(len(labels), 1)
        body = []
        for tick in ticks:
            y = top + span_y * (1 - tick / ticks[-1])
            body.append(f'<line x1="{left}" x2="{width - right}" y1="{y:.2f}" y2="{y:.2f}" class="grid"/>')
            body.append(text_at(left - 6, y + 4, short(tick), "axis", "end"))
        for n, drawn in enumerate(series):
            # Later series are parts of the first, so they are narrower and drawn over it.
            share = (0.82, 0.56, 0.30)[min(n, 2)]
            for i, value in enumerate(drawn.values):
                tall = span_y * value / ticks[-1]
                if value <= 0:
                    continue
                x = left + slot * (i + 0.5 - share / 2)
                title = f"<title>{escape(labels[i])}: {escape(drawn.name)} {number(value)}</title>"
                place = (
                    f'x="{x:.2f}" y="{top + span_y - tall:.2f}" width="{slot * share:.2f}" '
                    f'height="{max(tall, 0.8):.2f}"'
                )
                body.append(f'<rect {place} class="{drawn.css}">{title}</rect>')
        # A label needs about 30 pixels; steps that divide a day keep the same hours labelled every day.
        every = max(1, math.ceil(30 / slot))
        every = next(k for k in (1, 2, 3, 4, 6, 8, 12, 24, 48, 96, every) if k >= every)
        for i, text in enumerate(labels):
            if i % every == 0:
                body.append(text_at(left + slot * (i + 0.5), height - bottom + 16, text, "axis", "middle"))
            if mark and (i == 0 or mark[i] != mark[i - 1]):
                body.append(text_at(left + slot * i, height - bottom + 33, mark[i], "axis strong"))
                if i:
                    x = left + slot * i
                    body.append(
                        f'<line x1="{x:.2f}" x2="{x:.2f}" y1="{top}" y2="{height - bottom + 20}" '
                        f'class="day"/>'
                    )
        return svg(width, height, label, body)

    return responsive(draw)


def lines(
    labels: Sequence[str],
    series: Sequence[Series],
    label: str,
    *,
    mark: Sequence[str] = (),
    height: int = 200,
) -> str:
    """Return stepped lines over labels: each label is an hour, and each step lasts one hour."""

    def draw(width: int) -> str:
        left, right, top, bottom = 44, 8, 12, 40 if mark else 26
        ticks = nice_ticks(max((max(s.values, default=0) for s in series), default=0), 3)
        span_x, span_y = width - left - right, height - top - bottom
        slot = span_x / max(len(labels), 1)
        body = []
        for tick in ticks:
            y = top + span_y * (1 - tick / ticks[-1])
            body.append(
                f'<line x1="{left}" x2="{width - right}" y1="{y:.2f}" y2="{y:.2f}" '
                f'class="grid"/>{text_at(left - 6, y + 4, short(tick), "axis", "end")}'
            )
        for drawn in series:
            points = []
            for i, value in enumerate(drawn.values):
                y = top + span_y * (1 - value / ticks[-1])
                # Two points an hour make a step: a price holds for its whole hour.
                points += [f"{left + slot * i:.2f},{y:.2f}", f"{left + slot * (i + 1):.2f},{y:.2f}"]
            body.append(
                f'<polyline points="{" ".join(points)}" class="line '
                f'{drawn.css}"><title>{escape(drawn.name)}</title></polyline>'
            )
        every = next(k for k in (1, 2, 3, 4, 6, 8, 12, 24, 10**9) if k * slot >= 30)
        for i, text in enumerate(labels):
            if i % every == 0:
                body.append(text_at(left + slot * (i + 0.5), height - bottom + 16, text, "axis", "middle"))
            if mark and (i == 0 or mark[i] != mark[i - 1]):
                body.append(text_at(left + slot * i, height - bottom + 33, mark[i], "axis strong"))
        return svg(width, height, label, body)

    return responsive(draw)


def bars(rows: Sequence[tuple[str, float, str]], label: str, css: str = "s2") -> str:
    """Return horizontal bars: (name, value, note).

    The name stands above its bar, so that long names fit on a phone.
    """

    def draw(width: int) -> str:
        most = max((value for _, value, _ in rows), default=0) or 1
        step = 42
        body = []
        for i, (name, value, note) in enumerate(rows):
            y = i * step
            wide = (width - 2) * value / most
            body.append(text_at(0, y + 15, fit(name, width - 12 - CHARACTER * len(note)), "name"))
            body.append(text_at(width, y + 15, note, "value", "end"))
            body.append(f'<rect x="0" y="{y + 22}" width="{width}" height="10" class="track"/>')
            if value > 0:
                body.append(
                    f'<rect x="0" y="{y + 22}" width="{max(wide, 1.5):.2f}" height="10" class="{css}"/>'
                )
        return svg(width, step * len(rows), label, body)

    return responsive(draw)


def intervals(
    rows: Sequence[tuple[str, float, float, float, str]], label: str, coloured: Sequence[bool]
) -> str:
    """Return estimates with intervals around zero: (name, estimate, low, high, note).

    Only rows marked in `coloured` (a settled result) get a colour.
    """

    def draw(width: int) -> str:
        reach = max((max(abs(low), abs(high)) for _, _, low, high, _ in rows), default=0.0) or 1.0
        # The scale is symmetric and round, so that zero stands in the middle of every chart.
        edge = nice_ticks(reach, 2)[-1]
        # Where name and figures do not fit side by side, the figures get a line of their own.
        stacked = any(CHARACTER * (len(name) + len(note)) + 16 > width for name, *_, note in rows)
        drop = 19 if stacked else 0
        step, foot = 50 + drop, 22
        middle, half = width / 2, width / 2 - 14

        def place(value: float) -> float:
            return middle + half * value / edge

        height = step * len(rows) + foot
        body = []
        for i, (name, estimate, low, high, note) in enumerate(rows):
            y = i * step
            body.append(
                f'<line x1="{middle:.2f}" x2="{middle:.2f}" y1="{y + drop + 20}" '
                f'y2="{y + drop + 42}" class="zero"/>'
            )
            css = ("up" if estimate > 0 else "down") if coloured[i] else "flat"
            body.append(
                text_at(0, y + 15, fit(name, width if stacked else width - CHARACTER * len(note)), "name")
            )
            body.append(
                text_at(0, y + 33, note, "value") if stacked else text_at(width, y + 15, note, "value", "end")
            )
            at = y + drop + 31
            body.append(
                f'<line x1="{place(low):.2f}" x2="{place(high):.2f}" y1="{at}" y2="{at}" '
                f'class="interval {css}"/>'
            )
            body += [
                (
                    f'<line x1="{place(x):.2f}" x2="{place(x):.2f}" y1="{at - 5}" y2="{at + 5}" '
                    f'class="interval {css}"/>'
                )
                for x in (low, high)
            ]
            body.append(f'<circle cx="{place(estimate):.2f}" cy="{at}" r="5" class="dot {css}"/>')
        for tick, anchor in ((-edge, "start"), (0.0, "middle"), (edge, "end")):
            x = {"start": 0.0, "middle": middle, "end": float(width)}[anchor]
            body.append(text_at(x, height - 5, f"{tick:+.3g}" if tick else "0", "axis", anchor))
        return svg(width, height, label, body)

    return responsive(draw)


def trends(rows: Sequence[Trend], column_names: Sequence[str], label: str) -> str:
    """Return one small line per row, each scaled from zero, the newest value beside it."""

    def draw(width: int) -> str:
        is_wide = width >= WIDE
        # A narrow page has no room beside the line: name and value stand above it.
        left, right, tall, drop, gap = (270, 140, 26, 0, 12) if is_wide else (0, 0, 30, 22, 14)
        slot = (width - left - right) / max(len(column_names), 1)
        body: list[str] = []
        for i, row in enumerate(rows):
            y = i * (tall + drop + gap)
            body.append(
                text_at(
                    0,
                    y + (18 if is_wide else 14),
                    fit(row.name, (left or width - CHARACTER * len(row.note)) - 12),
                    "name",
                )
            )
            body.append(
                text_at(
                    width,
                    y + (18 if is_wide else 14),
                    row.note,
                    "value bad" if row.is_bad else "value",
                    "end",
                )
            )
            body += _spark(row, column_names, left, y + drop, slot, tall)
        height = len(rows) * (tall + drop + gap)
        body += days_axis(column_names, left, slot, height + 10)
        return svg(width, height + 16, label, body)

    return responsive(draw)


def _spark(
    row: Trend, column_names: Sequence[str], left: float, y: float, slot: float, tall: float
) -> list[str]:
    # A limit far above the data would flatten the line, so it is drawn only up to 4 times the highest value.
    known = [(k, value) for k, value in enumerate(row.values) if value is not None]
    most = max((value for _, value in known), default=0.0)
    limit = row.limit if row.limit is not None and 0 < row.limit <= 4 * most else None
    scale = max(most, limit or 0.0) or 1.0

    def at(k: int, value: float) -> tuple[float, float]:
        return left + (k + 0.5) * slot, y + tall - 2 - (tall - 5) * value / scale

    parts = [
        (
            f'<line x1="{left:.2f}" x2="{left + slot * len(row.values):.2f}" y1="{y + tall - 1:.2f}" '
            f'y2="{y + tall - 1:.2f}" class="grid"/>'
        )
    ]
    if limit is not None:
        height = at(0, limit)[1]
        parts.append(
            f'<line x1="{left:.2f}" x2="{left + slot * len(row.values):.2f}" y1="{height:.2f}" '
            f'y2="{height:.2f}" class="limit"/>'
        )
    run: list[tuple[float, float]] = []
    # The line breaks at gaps; a lone value between two gaps becomes a dot, which a line would hide.
    for k, value in [*enumerate(row.values), (len(row.values), None)]:
        if value is not None:
            run.append(at(k, value))
            continue
        if len(run) > 1:
            parts.append(
                f'<polyline points="{" ".join(f"{x:.2f},{h:.2f}" for x, h in run)}" class="line s2 thin"/>'
            )
        elif run:
            parts.append(f'<circle cx="{run[0][0]:.2f}" cy="{run[0][1]:.2f}" r="2" class="s2"/>')
        run = []
    if known:
        x, height = at(*known[-1])
        parts.append(
            f'<circle cx="{x:.2f}" cy="{height:.2f}" r="3.5" class="{"dot down" if row.is_bad else "s2"}"/>'
        )
    # Invisible rectangles over the full height make each day easy to hover.
    for k, value in known:
        title = (
            f"<title>{escape(row.name)}, {escape(column_names[k])}: "
            f"{number(value, row.digits)}{row.unit}</title>"
        )
        parts.append(
            f'<rect x="{left + k * slot:.2f}" y="{y:.2f}" width="{slot:.2f}" height="{tall:.2f}" '
            f'class="hit">{title}</rect>'
        )
    return parts
