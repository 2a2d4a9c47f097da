"""Grids as inline SVG text: states by day, and heat maps.

Input is plain numbers and labels; output is deterministic text with two decimals, as in `charts`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from angelia.drawing.svg import WIDE, days_axis, fit, number, responsive, short, svg, text_at


@dataclass(frozen=True)
class Cell:
    """One cell of a matrix: colour class, a sign for readers without colour, hover text.

    `target` is where a click leads.
    """

    css: str
    sign: str
    title: str
    target: str = ""


def matrix(
    rows: Sequence[tuple[str, Sequence[Cell | None]]],
    column_names: Sequence[str],
    label: str,
    *,
    groups: Sequence[str] = (),
) -> str:
    """Return a grid of states: (name, one cell per column, None for no state).

    A heading stands above each row whose entry in `groups` differs from the row before.
    """

    def draw(width: int) -> str:
        is_wide = width >= WIDE
        left, cell_h, head = (188, 22, 24) if is_wide else (0, 20, 22)
        drop = 0 if is_wide else 18  # on a phone a row's name stands above it
        slot = min((width - left) / max(len(column_names), 1), 34)
        body: list[str] = []
        y = 0.0
        for i, (name, cells) in enumerate(rows):
            if groups and (i == 0 or groups[i] != groups[i - 1]):
                body.append(text_at(0, y + 16, groups[i], "axis strong"))
                y += head
            body.append(text_at(0, y + (16 if is_wide else 13), fit(name, left or width), "name"))
            for k, cell in enumerate(cells):
                x, top = left + k * slot, y + drop
                # A dot, so that a day without a state differs from a missing column.
                if cell is None:
                    body.append(
                        f'<rect x="{x + slot / 2 - 1.5:.2f}" y="{top + cell_h / 2 - 2:.2f}" '
                        f'width="3" height="3" rx="1.5" class="track"/>'
                    )
                    continue
                square = (
                    f'<rect x="{x:.2f}" y="{top:.2f}" width="{slot - 2:.2f}" height="{cell_h - 2}" '
                    f'rx="3" class="{cell.css}"/>'
                )
                sign = (
                    text_at(x + (slot - 2) / 2, top + cell_h - 7, cell.sign, f"sign {cell.css}", "middle")
                    if cell.sign
                    else ""
                )
                inner = f"{square}{sign}<title>{escape(cell.title)}</title>"
                body.append(
                    f'<a href="{escape(cell.target, quote=True)}">{inner}</a>'
                    if cell.target
                    else f"<g>{inner}</g>"
                )
            y += cell_h + drop + 2
        body += days_axis(column_names, left, slot, y + 14)
        return svg(width, int(y) + 20, label, body)

    return responsive(draw)


def heat(rows: Sequence[tuple[str, Sequence[float | None]]], column_names: Sequence[str], label: str) -> str:
    """Return a heat map: (name, one number per column, None where there is none).

    Six shades up to the highest number; on a phone it is turned, so that the longer side runs downwards.
    """
    numbers = [value for _, values in rows for value in values if value is not None]
    highest = max(numbers, default=0.0)

    def draw(width: int) -> str:
        is_wide = width >= WIDE
        names = [name for name, _ in rows] if is_wide else list(column_names)
        across = list(column_names) if is_wide else [name for name, _ in rows]
        left, cell_h = 48, 24
        slot = (width - left) / max(len(across), 1)
        body = [
            text_at(left + (k + 0.5) * slot, 12, fit(name, slot), "axis", "middle")
            for k, name in enumerate(across)
        ]
        for i, name in enumerate(names):
            y = 18 + i * cell_h
            body.append(text_at(0, y + 16, name, "name"))
            for k, other in enumerate(across):
                value = rows[i][1][k] if is_wide else rows[k][1][i]
                body.append(
                    _shaded(value, highest, left + k * slot, y, slot - 2, cell_h - 2, f"{name} {other}")
                )
        return svg(width, 22 + len(names) * cell_h, label, body)

    return responsive(draw)


def _in_cell(value: float) -> str:
    """Return a number of at most four characters, for a cell that is little wider than three."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        part = value / size
        # 999.6 k would be written with four digits, so rounding decides the unit.
        if round(1000 * part) >= 1000:
            return f"{part:.1f}{unit}" if round(part, 1) < 10 else f"{part:.0f}{unit}"
    return short(value)


def _shaded(
    value: float | None, highest: float, x: float, y: float, width: float, height: float, name: str
) -> str:
    if value is None:
        return ""
    shade = math.ceil(5 * value / highest) if highest else 0
    square = f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height}" rx="3" class="h{shade}"/>'
    written = text_at(x + width / 2, y + height - 7, _in_cell(value), f"cell c{shade}", "middle")
    return f"<g>{square}{written}<title>{escape(name)}: {number(value)}</title></g>"
