"""Effects over nights: what the messages of a span caused, in conversions and in money.

Intention to treat over the holdouts by person, cumulative: the plain difference and the one adjusted for
history, each with an interval for one look and one that holds at every look. Reads a panel; writes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from angelia.effects.adjusting import Side, Track, track
from angelia.effects.multiple import holm_p
from angelia.effects.panel import Moments, Panel
from angelia.effects.power import Z_FIXED, Growth, growth
from angelia.effects.ratio import ALARM, mismatch_p
from angelia.effects.sequences import always_valid_p, mixture, multiplier

METRICS = ("converted", "revenue", "active_days", "retained_7", "retained_28", "unsubscribed")
PLANNED_NIGHTS = 28
# Below this many people who did it on a side, an interval from the normal curve is wrong.
LEAST_PEOPLE = 10


@dataclass(frozen=True)
class EffectEstimate:
    """A difference per person with two 95 % intervals.

    `low` to `high` holds for one look, `always_low` to `always_high` at every look together.
    """

    difference: float
    low: float
    high: float
    always_low: float
    always_high: float


@dataclass(frozen=True)
class Look:
    """An estimate as it stood after a night."""

    ds: str
    estimate: EffectEstimate


@dataclass(frozen=True)
class Effect:
    """One metric of one scope after the last night."""

    scope: str
    metric: str
    n_treated: int
    n_holdout: int
    mean_treated: float
    mean_holdout: float
    unadjusted: EffectEstimate | None
    adjusted: EffectEstimate | None
    total: EffectEstimate | None  # the best estimate times everyone not held out
    narrower_pct: float | None  # how much adjusting narrows the interval
    stands_out: bool  # whenever one looks, among all rows (Holm's correction)
    stands_out_once: bool  # only if the last night was fixed beforehand
    why_none: str | None
    looks: tuple[Look, ...]


@dataclass(frozen=True)
class Ratio:
    """Whether a scope's sides are as large as its hash makes them."""

    scope: str
    n_treated: int
    n_holdout: int
    expected_share: float | None
    p_value: float | None  # holds at every look; None: the share was not the same on all nights
    alarm: bool


def effects(panel: Panel, planned: int = PLANNED_NIGHTS) -> list[Effect]:
    """Return every scope's metrics; which stand out is decided among all of them together."""
    eta = mixture(planned)
    rows, once, always = [], [], []
    for key in sorted(panel.moments, key=lambda key: (key[0] != "all", key[0], METRICS.index(key[1]))):
        effect, p_once, p_always = _effect(panel, key, panel.moments[key], eta)
        rows.append(effect)
        once.append(p_once)
        always.append(p_always)
    held_once, held = holm_p(once), holm_p(always)
    return [
        replace(
            row,
            stands_out=now and not panel.is_growing,
            stands_out_once=single and not panel.is_growing,
        )
        for row, now, single in zip(rows, held, held_once, strict=True)
    ]


def ratios(panel: Panel) -> list[Ratio]:
    """Return each scope's test of its sides' sizes."""
    tests = []
    for scope, share in sorted(panel.shares.items(), key=lambda item: (item[0] != "all", item[0])):
        n_treated, n_holdout = panel.sizes.get(scope, (0, 0))
        p = None if share is None else mismatch_p(n_holdout, n_treated, share)
        tests.append(Ratio(scope, n_treated, n_holdout, share, p, p is not None and p < ALARM))
    return tests


def grown(panel: Panel, scope: str, metric: str) -> Growth | None:
    """Return how a metric's outcome grows over the nights, or None if too few people acted."""
    moments = panel.moments.get((scope, metric))
    first = None if moments is None else _first_thick(moments)
    if moments is None or first is None:
        return None
    line = _track(panel, metric, moments, first)
    treated, holdout = _from(moments.treated, first), _from(moments.holdout, first)
    # The variance of a person as the estimate sees it, so that adjusting counts.
    variances = line.error**2 / (1 / treated.n + 1 / holdout.n)
    nights = [night + 1 for night in moments.nights[first:]]
    return growth(nights, holdout.mean_y, variances, line.time)


def _effect(panel: Panel, key: tuple[str, str], moments: Moments, eta: float) -> tuple[Effect, float, float]:
    """Return the row with its two p-values, before any correction."""
    scope, metric = key
    treated, holdout = moments.treated, moments.holdout
    row = Effect(
        scope,
        metric,
        int(treated.n[-1]),
        int(holdout.n[-1]),
        float(treated.mean_y[-1]),
        float(holdout.mean_y[-1]),
        *(None, None, None, None, False, False),
        f"fewer than {LEAST_PEOPLE} people of a side did it",
        (),
    )
    first = _first_thick(moments)
    # Too few people for an interval. p = 1, so that its place in the correction is kept, and costs nothing.
    if first is None:
        return row, 1.0, 1.0
    plain = track(_from(treated, first), _from(holdout, first), adjusted=False)
    best = _track(panel, metric, moments, first)
    # Nobody unsubscribes twice: what they did before the nights says nothing about it.
    is_adjusted = panel.history is None and metric != "unsubscribed"
    estimates = [_estimate(best, i, eta) for i in range(len(best.difference))]
    unadjusted, final = _estimate(plain, -1, eta), estimates[-1]
    total = EffectEstimate(*(row.n_treated * getattr(final, item.name) for item in fields(EffectEstimate)))
    z = abs(float(best.difference[-1])) / float(best.error[-1]) if best.error[-1] > 0 else 0.0
    names = dict(zip(panel.offsets, (night.ds for night in panel.nights), strict=True))
    made = replace(
        row,
        unadjusted=unadjusted,
        adjusted=final if is_adjusted else None,
        total=total,
        narrower_pct=(
            100 * (1 - float(best.error[-1] / plain.error[-1])) if is_adjusted and plain.error[-1] else None
        ),
        why_none=None,
        looks=tuple(
            Look(names[night], estimate)
            for night, estimate in zip(moments.nights[first:], estimates, strict=True)
        ),
    )
    return made, _two_sided(z), float(always_valid_p(z, best.time[-1], eta))


def _track(panel: Panel, metric: str, moments: Moments, first: int) -> Track:
    # Nobody unsubscribes twice: there is no history of it to regress on.
    is_adjusted = panel.history is None and metric != "unsubscribed"
    return track(_from(moments.treated, first), _from(moments.holdout, first), adjusted=is_adjusted)


def _first_thick(moments: Moments) -> int | None:
    """Return the first look from which on enough people of both sides did something."""
    pairs = zip(moments.nonzero_treated, moments.nonzero_holdout, strict=True)
    return next((i for i, pair in enumerate(pairs) if min(pair) >= LEAST_PEOPLE), None)


def _from(side: Side, first: int) -> Side:
    return Side(**{item.name: getattr(side, item.name)[first:] for item in fields(Side)})


def _estimate(line: Track, i: int, eta: float) -> EffectEstimate:
    middle, error = float(line.difference[i]), float(line.error[i])
    wide = float(multiplier(line.time[i], eta)) * error
    once = Z_FIXED * error
    return EffectEstimate(middle, middle - once, middle + once, middle - wide, middle + wide)


def _two_sided(z: float) -> float:
    return math.erfc(z / math.sqrt(2))
