"""Draw docs/world-hours.svg: when people are active, and when they open pushes.

Reads marginals.json and a simulated population; `python -m angelia.world.picture > docs/world-hours.svg`.
"""

from __future__ import annotations

import sys

import numpy as np

from angelia.world.clock import day_number, local
from angelia.world.draws import Floats
from angelia.world.marginals import committed, measure_world
from angelia.world.policy import names
from angelia.world.truth import World, open_probability

WIDTH, HEIGHT, LEFT, TOP, PANEL = 760, 300, 46, 40, 310
_INK, _REAL, _WORLD = "#333333", "#6b7785", "#1668a8"


def _panel(x: int, title: str, series: list[tuple[str, str, Floats]], unit: str) -> list[str]:
    """Return one panel of lines over 24 local hours from zero, each labelled at its peak."""
    high = max(float(values.max()) for _, _, values in series) * 1.15
    bottom, height = HEIGHT - 40, HEIGHT - 40 - TOP
    marks = [f'<text x="{x}" y="24" font-weight="600">{title}</text>']
    for hour in range(0, 25, 6):
        at = x + PANEL * hour / 24
        marks.append(f'<line x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{bottom}" stroke="#e6e6e6"/>')
        marks.append(f'<text x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{hour}</text>')
    for share in (0.0, 0.5, 1.0):
        y = bottom - height * share
        marks.append(
            f'<text x="{x - 6}" y="{y + 4:.1f}" text-anchor="end">{100 * high * share:.1f}{unit}</text>'
        )
    marks.append(f'<line x1="{x}" y1="{bottom}" x2="{x + PANEL}" y2="{bottom}" stroke="{_INK}"/>')
    for row, (label, colour, values) in enumerate(series):
        points = " ".join(
            f"{x + PANEL * (hour + 0.5) / 24:.1f},{bottom - height * value / high:.1f}"
            for hour, value in enumerate(values)
        )
        marks.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        marks.append(f'<text x="{x + 8}" y="{TOP + 14 + 16 * row}" fill="{colour}">{label}</text>')
    return marks


def draw() -> str:
    """Return the picture as SVG text."""
    day = day_number("2026-11-14")
    world = World(seed=7, users=4_000, anchor_day=day)
    active = np.asarray(measure_world(world, 4_000)["hour_curve"])
    # A Tuesday: an ordinary workday.
    users, hours = np.arange(2_000), (day + 3) * 24 + np.arange(24)
    chance = open_probability(world, users[:, None, None], list(names()[1]), hours[None, :, None]).mean(
        axis=2
    )
    person = world.people(users)
    clock = local(person, users[:, None], hours[None, :])
    opened = np.bincount(clock.hour.ravel(), chance.ravel(), minlength=24) / np.bincount(
        clock.hour.ravel(), minlength=24
    )
    real = np.asarray(committed()["hour_curve"]["value"])
    svg = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'font-family="sans-serif" font-size="12" fill="{_INK}">'
        ),
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        *_panel(
            LEFT,
            "Share of user-hours by local hour",
            [("KuaiRand", _REAL, real), ("world", _WORLD, active)],
            " %",
        ),
        *_panel(
            LEFT + PANEL + 78,
            "True open rate by local hour of the push",
            [("world, rested people", _WORLD, opened)],
            " %",
        ),
        f'<text x="{WIDTH - 20}" y="{HEIGHT - 6}" text-anchor="end">local hour</text>',
        "</svg>",
    ]
    return "\n".join(svg) + "\n"


if __name__ == "__main__":
    sys.stdout.write(draw())
