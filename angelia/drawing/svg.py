"""The parts of every chart: numbers as text, round ticks, axes, elements, text cut to fit.

Labels inside an SVG are drawn at their real size: `responsive` draws each chart once wide and once narrow,
and the page's style sheet shows the one that fits, so a phone never shrinks text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from angelia.output import written_out

WIDE, NARROW = 776, 336
CHARACTER = 7.6  # mean width of a character of a name, in pixels; names are cut to fit beside their note


def number(value: float | None, digits: int = 0) -> str:
    """Return a number for people: thousands separated, a dash for nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:,.{digits}f}"


def short(value: float) -> str:
    """Return a number for an axis: 1.2k, 3M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return written_out(value, 3)


def nice_ticks(highest: float, wanted: int = 4) -> list[float]:
    """Return round tick values from 0 to at least `highest`."""
    if highest <= 0:
        return [0.0, 1.0]
    raw = highest / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw - 1e-12)
    return [step * n for n in range(math.ceil(highest / step - 1e-9) + 1)]


def svg(width: int, height: int, label: str, body: Sequence[str]) -> str:
    """Return an SVG element with its label for screen readers."""
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg {size} role="img" aria-label="{escape(label, quote=True)}">{"".join(body)}</svg>'


def text_at(x: float, y: float, text: str, css: str = "", anchor: str = "start") -> str:
    """Return a text element; `anchor` is its start, middle or end."""
    return f'<text x="{x:.2f}" y="{y:.2f}" class="{css}" text-anchor="{anchor}">{escape(text)}</text>'


def fit(text: str, pixels: float) -> str:
    """Return as much of a text as fits into a width, with an ellipsis where it is cut."""
    most = max(4, int(pixels / CHARACTER))
    return text if len(text) <= most else text[: most - 1].rstrip(" :,") + "…"


def responsive(draw: Callable[[int], str]) -> str:
    """Return a chart drawn wide and narrow."""
    return f'<div class="wide">{draw(WIDE)}</div><div class="narrow">{draw(NARROW)}</div>'


def days_axis(names: Sequence[str], left: float, slot: float, y: float) -> list[str]:
    """Return labels under columns, as many as fit, the newest always among them."""
    # The newest label ends with its column, which brings it half its width nearer to the one before.
    every = max(1, math.ceil(72 / slot))
    shown = [k for k in range(len(names)) if (len(names) - 1 - k) % every == 0]
    parts = []
    for k in shown:
        x = left + k * slot + (slot - 2) / 2
        # The newest label ends with its column, so that it does not hang over the edge.
        is_last = k == len(names) - 1 and len(names) > 1
        parts.append(
            text_at(
                left + (k + 1) * slot - 2 if is_last else x,
                y,
                names[k],
                "axis",
                "end" if is_last else "middle" if k else "start",
            )
        )
    return parts
