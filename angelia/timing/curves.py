"""Response curves by hierarchical empirical Bayes: population, cohort, the user's own activity, the user's
own opens.

Grain: user; a curve has 48 values: 24 local hours of a workday, then of a day off, each the chance of an open
    there relative to the user's mean. Pure functions on arrays for one shard, given sums over cohorts; reads
    and writes nothing.

Every level refines the curve of the level above by the same two steps (`refine`):
1. Activity: where somebody is active more than the level above, in the hour of the push and those after it,
   they respond more: prior = parent x (own / parent activity)^elasticity.
2. Opens: Poisson counts under a gamma prior with mean `prior`: posterior = prior x (opens + strength) /
   (expected opens + strength). Source: Clayton & Kaldor (1987), Empirical Bayes estimates of age-standardized
   relative risks, Biometrics 43, eq. 2.
Counts are smoothed around the clock first, workdays and days off lending each other half, so neighbours share
evidence. Strengths and elasticity of the user level are chosen by predicting the last quarter of the window
from the rest (`STRENGTHS`, `predictive_score`).

The mean is taken over the hours pushes were sent in (weighted to even draws where propensities are known), as
the model of p(open) is trained on those: so p_open x curve is calibrated, and a curve's plain average over 24
hours is usually below 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from angelia.timing.evidence import CELLS, WORKDAY_SHARE, Floats, PushCounts, exact

SUM_ROWS = ("activity", "pushes_unknown", "pushes_known", "known_plain", "opens_unknown", "opens_known")
DAYPARTS = ("night", "morning", "afternoon", "evening")
SPARSE = "sparse"
MIN_ACTIVE_HOURS = 5.0  # decayed active hours below which a user has no activity cluster
KERNEL = (1.0, 0.6, 0.2)  # weight of hours 0, 1 and 2 away
DAY_TYPE_COUPLING = 0.5
RATE_STRENGTH = 20.0  # pushes; a user's open rate shrinks to the population's with this weight
CURVE_RANGE = (0.02, 20.0)


@dataclass(frozen=True)
class Strength:
    """How much evidence moves a curve.

    Attributes:
        hours: pseudo active hours behind the activity of the level above.
        elasticity: of response to activity.
        opens: pseudo opens behind the prior.
        waiting: how much an active hour counts for a push that came an hour earlier, its square for two, ...:
            a push waits to be seen.
    """

    hours: float
    elasticity: float
    opens: float
    waiting: float = 0.0


# The first is the default where nothing can be predicted (no opens). Measured in the simulated world,
# `waiting` is worth a third of what personal curves gain over everybody's: people look at the phone hours
# after the push, so the hours after it matter more than the one it came in.
STRENGTHS = tuple(
    Strength(hours, elasticity, opens, waiting)
    for elasticity, hours, waiting, opens in itertools.product(
        (0.5, 0.25, 0.75, 1.0), (10.0, 3.0, 30.0), (0.6, 0.0), (80.0, 20.0)
    )
)
COHORT = (200.0, 20.0)  # pseudo hours and opens of the levels above the user, where evidence is plenty

CohortSums = dict[str, Floats]


def cohort_names(timezones: Iterable[str], activity: Floats) -> list[str]:
    """Name each user's cohort: timezone, and the part of the day with most activity (`sparse` below five
    active hours). Activity is (n, 48).
    """
    parts = activity.reshape(-1, 2, 4, 6).sum(axis=(1, 3))
    best = parts.argmax(axis=1)
    few = parts.sum(axis=1) < MIN_ACTIVE_HOURS
    return [
        f"{zone}|{SPARSE if none else DAYPARTS[part]}"
        for zone, part, none in zip(timezones, best, few, strict=True)
    ]


def cohort_sums(cohorts: list[str], activity: Floats, pushes: PushCounts, opens: PushCounts) -> CohortSums:
    """Sum a shard's evidence by cohort, (6, 48) each with rows `SUM_ROWS`; exact, so that any cut into shards
    adds up to the same.
    """
    names, member = np.unique(np.array(cohorts, dtype=object).astype(str), return_inverse=True)
    layers = (activity, pushes.unknown, pushes.known, pushes.known_plain, opens.unknown, opens.known)
    sums = np.zeros((len(names), len(layers), CELLS))
    for row, layer in enumerate(layers):
        np.add.at(sums[:, row], member, layer)
    return dict(zip(names.tolist(), sums, strict=True))


def merge_sums(parts: Iterable[Mapping[str, npt.ArrayLike]]) -> CohortSums:
    """Add the cohort sums of all shards."""
    merged: CohortSums = {}
    for part in parts:
        for name, values in part.items():
            merged[name] = merged.get(name, 0.0) + np.asarray(values, dtype=np.float64)
    return {name: merged[name] for name in sorted(merged)}


@dataclass(frozen=True)
class Tables:
    """What a shard needs to know about everybody else.

    Attributes:
        scale: Factor on inverse propensities that gives known pushes a mean weight of 1.
        rate: Population's opens per push.
        reference: (48,) share of pushes by cell: over it, curves have mean 1.
        names: Cohorts, sorted.
        curves: (cohorts + 1, 48); the last row is the population's, for cohorts never seen.
        activity: (cohorts + 1, 48) share of activity by cell.
    """

    scale: float
    rate: float
    reference: Floats
    names: tuple[str, ...]
    curves: Floats
    activity: Floats

    def rows(self, cohorts: list[str]) -> npt.NDArray[np.int64]:
        """Return the row of each cohort."""
        position = {name: row for row, name in enumerate(self.names)}
        return np.array([position.get(name, len(self.names)) for name in cohorts], dtype=np.int64)


def cohort_tables(sums: Mapping[str, Floats], elasticity: float, waiting: float = 0.0) -> Tables:
    """Estimate the population's curve and every cohort's from merged sums."""
    stacked = np.array(list(sums.values())).reshape(-1, len(SUM_ROWS), CELLS)
    total = stacked.sum(axis=0)
    scale = float(total[3].sum() / total[2].sum()) if total[2].sum() > 0 else 1.0
    strength = Strength(COHORT[0], elasticity, COHORT[1], waiting)

    def split(layers: Floats) -> tuple[Floats, Floats, Floats]:
        return layers[:, 0], layers[:, 1] + scale * layers[:, 2], layers[:, 4] + scale * layers[:, 5]

    even = np.repeat([WORKDAY_SHARE / 24, (1 - WORKDAY_SHARE) / 24], 24)
    activity, pushes, opens = split(total[None])
    n_pushes, n_opens = float(pushes.sum()), float(opens.sum())
    reference = pushes[0] / n_pushes if n_pushes > 0 else even
    rate = n_opens / n_pushes if n_pushes > 0 else 0.0
    everybody, habit = refine(
        np.ones((1, CELLS)), even[None], activity, rate * pushes, opens, strength, reference
    )
    activity, pushes, opens = split(stacked)
    curves, habits = refine(
        everybody,
        habit,
        activity,
        shrunk_rates(pushes, opens, rate)[:, None] * pushes,
        opens,
        strength,
        reference,
    )
    return Tables(
        scale,
        rate,
        reference,
        tuple(sums),
        np.concatenate([curves, everybody]),
        np.concatenate([habits, habit]),
    )


def shrunk_rates(pushes: Floats, opens: Floats, rate: float) -> Floats:
    """Return opens per push of each row, shrunk to `rate`, shape (n,)."""
    return np.asarray((opens.sum(axis=1) + RATE_STRENGTH * rate) / (pushes.sum(axis=1) + RATE_STRENGTH))


def refine(
    parent: Floats,
    parent_activity: Floats,
    activity: Floats,
    expected: Floats,
    opens: Floats,
    strength: Strength,
    reference: Floats,
) -> tuple[Floats, Floats]:
    """Refine the curve of the level above by own evidence; return curves of mean 1 over `reference`, and
    shares of activity, both (n, 48).

    Args:
        parent: (n or 1, 48) curves of the level above, mean 1.
        parent_activity: (n or 1, 48) its share of activity by cell, summing to 1.
        activity: (n, 48) own active hours.
        expected: (n, 48) opens to expect of own pushes at a flat curve: pushes x own open rate.
        opens: (n, 48) own opens.
        strength: prior weights.
        reference: (48,) weights of the mean.
    """
    own, usual = smooth(activity), smooth(parent_activity)
    total = activity.sum(axis=1, keepdims=True) + strength.hours
    share = parent_activity * (own + strength.hours * usual) / (total * usual)
    seen, usually_seen = ahead(own, strength.waiting), ahead(usual, strength.waiting)
    prior = _mean_one(
        parent * ((seen + strength.hours * usually_seen) / (total * usually_seen)) ** strength.elasticity,
        reference,
    )
    curve = prior * (smooth(opens) + strength.opens) / (smooth(expected * prior) + strength.opens)
    return np.clip(_mean_one(curve, reference), *CURVE_RANGE), share / share.sum(axis=1, keepdims=True)


def ahead(values: Floats, waiting: float) -> Floats:
    """Add to each cell of (n, 48) the following hours of the same day type, each `waiting` times the one
    before it.
    """
    if waiting == 0.0:
        return values
    clock = values.reshape(-1, 2, 24)
    seen = clock
    for step in range(1, 12):
        seen = seen + waiting**step * np.roll(clock, -step, axis=2)
    return np.asarray(seen.reshape(-1, CELLS))


def smooth(values: Floats) -> Floats:
    """Add to each cell of (n, 48) its neighbours around the clock and across day types, weighted by `KERNEL`.

    Elementwise on purpose: a matrix product would round differently for different shard sizes.
    """
    clock = values.reshape(-1, 2, 24)
    around = clock * KERNEL[0]
    for step, weight in enumerate(KERNEL[1:], start=1):
        around = around + weight * (np.roll(clock, step, axis=2) + np.roll(clock, -step, axis=2))
    return np.asarray((around + DAY_TYPE_COUPLING * around[:, ::-1]).reshape(-1, CELLS))


def _mean_one(curve: Floats, reference: Floats) -> Floats:
    return np.asarray(curve / (curve * reference).sum(axis=1, keepdims=True))


def user_curves(
    cohorts: list[str],
    activity: Floats,
    pushes: PushCounts,
    opens: PushCounts,
    tables: Tables,
    strength: Strength,
) -> Floats:
    """Return every user's curve, (n, 48); a user without evidence has the cohort's."""
    row = tables.rows(cohorts)
    sent, opened = pushes.weighted(tables.scale), opens.weighted(tables.scale)
    expected = shrunk_rates(sent, opened, tables.rate)[:, None] * sent
    return refine(
        tables.curves[row], tables.activity[row], activity, expected, opened, strength, tables.reference
    )[0]


def evidence(pushes: PushCounts, scale: float) -> npt.NDArray[np.float32]:
    """Return the number of (decayed, weighted) pushes behind each user's curve, shape (n,)."""
    return np.asarray(pushes.weighted(scale).sum(axis=1), dtype=np.float32)


def predictive_score(curve: Floats, rate: Floats, pushes: Floats, opens: Floats) -> float:
    """Return the Poisson log-likelihood of later opens (up to a constant), exactly summable over shards.

    Args:
        curve: (n, 48) curves made from earlier evidence.
        rate: (n,) open rates from earlier evidence.
        pushes: (n, 48) later pushes.
        opens: (n, 48) later opens.
    """
    per_user = (opens * np.log(curve) - rate[:, None] * pushes * curve).sum(axis=1)
    return float(exact(per_user).sum())


def score_strengths(
    cohorts: list[str],
    activity: Floats,
    earlier: tuple[PushCounts, PushCounts],
    later: tuple[PushCounts, PushCounts],
    sums: Mapping[str, Floats],
    options: tuple[Strength, ...] = STRENGTHS,
) -> list[float]:
    """Score each option on one shard: curves from `earlier` (pushes, opens) predict `later`.

    Cohort sums hold the later days too; a cohort is thousands of users, so what one user's future tells it is
    small.
    """
    scores = []
    for option in options:
        tables = cohort_tables(sums, option.elasticity, option.waiting)
        curve = user_curves(cohorts, activity, *earlier, tables, option)
        rate = shrunk_rates(earlier[0].weighted(tables.scale), earlier[1].weighted(tables.scale), tables.rate)
        scores.append(
            predictive_score(curve, rate, later[0].weighted(tables.scale), later[1].weighted(tables.scale))
        )
    return scores


def choose_strength(scores: Iterable[list[float]], options: tuple[Strength, ...] = STRENGTHS) -> Strength:
    """Return the option with the highest score summed over shards; the first of equals."""
    parts = list(scores)
    if not parts:
        return options[0]
    return options[int(np.argmax(np.sum(parts, axis=0)))]
