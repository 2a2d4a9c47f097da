"""Response curves by hierarchical empirical Bayes.

The levels are the population, the timezone, the user's habit and the user's opens. Grain: user; a curve has
48 values: 24 local hours of a workday, then of a day off, each the chance of an open there relative to the
user's mean. Pure functions on arrays for one shard, given sums over cohorts (a cohort is a timezone); reads
and writes nothing.

Every level refines the curve of the level above by the same two steps:
1. Activity: where somebody is active more than the level above, in the hour of the push and those after it,
   they respond more: prior = parent x (own / parent activity)^elasticity. A user's activity is their habit
   (`habits`), compared with the usual habit of their timezone.
2. Opens: Poisson counts under a gamma prior with mean `prior`: posterior = prior x (opens + strength) /
   (expected opens + strength). Source: Clayton & Kaldor (1987), Empirical Bayes estimates of age-standardized
   relative risks, Biometrics 43, eq. 2.
Counts of opens are smoothed around the clock first, workdays and days off lending each other half, so
neighbours share evidence. Elasticity, waiting and a user's strength are chosen by the data (`choosing`), a
cohort's strength by its own opens (`likeliest_strength`).

The mean is taken over the hours pushes were sent in (weighted to even draws where propensities are known), as
the model of p(open) is trained on those: so p_open x curve is calibrated, and a curve's plain average over 24
hours is usually below 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from angelia.timing.evidence import CELLS, WORKDAY_SHARE, Floats, PushCounts
from angelia.timing.habits import Clusters

SUM_ROWS = ("activity", "pushes_unknown", "pushes_known", "known_plain", "opens_unknown", "opens_known")
KERNEL = (1.0, 0.6, 0.2)  # weight of hours 0, 1 and 2 away
DAY_TYPE_COUPLING = 0.5
RATE_STRENGTH = 20.0  # pushes; a user's open rate shrinks to the population's with this weight
CURVE_RANGE = (0.02, 20.0)
# Share of responses that keep no hours of activity: people read pushes in hours in which no event is seen.
ANY_HOUR = 0.05


@dataclass(frozen=True)
class Strength:
    """How much evidence moves a curve.

    Attributes:
        elasticity: of response to activity.
        opens: pseudo opens behind the prior.
        waiting: how much an active hour counts for a push that came an hour earlier, its square for two, ...:
            a push waits to be seen.
    """

    elasticity: float = 0.5
    opens: float = 80.0
    waiting: float = 0.6


COHORT_HOURS = 200.0  # pseudo active hours of the levels above the user, where evidence is plenty
# Pseudo opens behind the prior of everybody, and of timezones: what says most of the level's own opens.
TOGETHER_H = 4  # hours whose opens are judged together, since a level's curve is smooth over about as many
COHORT_OPENS = (20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1280.0, 2560.0, 5120.0)

CohortSums = dict[str, Floats]


def cohort_sums(
    cohorts: Sequence[str], activity: Floats, pushes: PushCounts, opens: PushCounts
) -> CohortSums:
    """Sum a shard's evidence by cohort, (6, 48) each with rows `SUM_ROWS`.

    Sums are exact, so that any cut into shards adds up to the same.
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

    def rows(self, cohorts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the row of each cohort."""
        position = {name: row for row, name in enumerate(self.names)}
        return np.array([position.get(name, len(self.names)) for name in cohorts], dtype=np.int64)


def cohort_tables(sums: Mapping[str, Floats], strength: Strength) -> Tables:
    """Estimate the population's curve and every cohort's from merged sums."""
    stacked = np.array(list(sums.values())).reshape(-1, len(SUM_ROWS), CELLS)
    total = stacked.sum(axis=0)
    scale = float(total[3].sum() / total[2].sum()) if total[2].sum() > 0 else 1.0

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
    """Refine the curve of the level above by a cohort's evidence.

    Returns curves of mean 1 over `reference`, and shares of activity, both (n, 48).

    Args:
        parent: (n or 1, 48) curves of the level above, mean 1.
        parent_activity: (n or 1, 48) its share of activity by cell, summing to 1.
        activity: (n, 48) own active hours.
        expected: (n, 48) opens to expect of own pushes at a flat curve: pushes x own open rate.
        opens: (n, 48) own opens.
        strength: elasticity and waiting; a cohort's pseudo hours are a constant.
        reference: (48,) weights of the mean.
    """
    own, usual = smooth(activity), smooth(parent_activity)
    total = activity.sum(axis=1, keepdims=True) + COHORT_HOURS
    # Not smoothed: the level below smooths what it compares with, and twice would not compare like with like.
    share = (activity + COHORT_HOURS * parent_activity) / total
    seen, usually_seen = ahead(own, strength.waiting), ahead(usual, strength.waiting)
    more = (seen + COHORT_HOURS * usually_seen) / (total * usually_seen)
    prior = _mean_one(parent * more**strength.elasticity, reference)
    curves = posterior(prior, expected, opens, likeliest_strength(prior, expected, opens), reference)
    return curves, share / share.sum(axis=1, keepdims=True)


def likeliest_strength(prior: Floats, expected: Floats, opens: Floats) -> float:
    """Return the pseudo opens under which the opens of a level's cohorts are most probable.

    Where timezones differ by no more than chance makes them, they all keep the curve of the level above; a
    constant had let each follow its own few opens. The level's rate is not at issue, only its shape. The
    weakest effect wins ties. Source: the negative binomial marginal of Clayton & Kaldor (1987), eq. 1.
    """
    opens, usual = (
        values.reshape(-1, CELLS // TOGETHER_H, TOGETHER_H).sum(axis=2)
        for values in (opens, prior * expected)
    )
    total = usual.sum(axis=1, keepdims=True)
    usual = usual * np.divide(
        opens.sum(axis=1, keepdims=True), total, out=np.zeros_like(total), where=total > 0
    )
    strength = np.array(COHORT_OPENS)[::-1, None]
    seen = usual > 0
    n, mean = opens[seen][None], usual[seen][None]
    terms = gammaln(n + strength) - gammaln(strength) + n * np.log(mean)
    terms = terms + strength * np.log(strength) - (n + strength) * np.log(mean + strength)
    return float(strength[np.round(terms.sum(axis=1), 6).argmax(), 0])


def posterior(prior: Floats, expected: Floats, opens: Floats, strength: float, reference: Floats) -> Floats:
    """Return curves (n, 48) of mean 1 after opens, given those expected at a flat curve."""
    curve = prior * (smooth(opens) + strength) / (smooth(expected * prior) + strength)
    return np.clip(_mean_one(curve, reference), *CURVE_RANGE)


def ahead(values: Floats, waiting: float) -> Floats:
    """Add to each cell of (n, 48) the hours after it, each `waiting` times the one before it."""
    if waiting == 0.0:
        return values
    seen = values.reshape(-1, 2, 24)
    # Each sum doubles the hours it reaches: 2, 4, then 12 as 4 + 4 + 4.
    for step in (1, 2):
        seen = seen + waiting**step * np.roll(seen, -step, axis=2)
    seen = seen + waiting**4 * np.roll(seen, -4, axis=2) + waiting**8 * np.roll(seen, -8, axis=2)
    return np.asarray(seen.reshape(-1, CELLS))


def smooth(values: Floats, kernel: Sequence[float] = KERNEL, coupling: float = DAY_TYPE_COUPLING) -> Floats:
    """Add to each cell of (n, 48) its neighbours around the clock and across kinds of day.

    Elementwise on purpose: a matrix product would round differently for different shard sizes.
    """
    clock = values.reshape(-1, 2, 24)
    around = clock * kernel[0]
    for step, weight in enumerate(kernel[1:], start=1):
        around = around + weight * (np.roll(clock, step, axis=2) + np.roll(clock, -step, axis=2))
    return np.asarray((around + coupling * around[:, ::-1]).reshape(-1, CELLS))


def _mean_one(curve: Floats, reference: Floats) -> Floats:
    return np.asarray(curve / (curve * reference).sum(axis=1, keepdims=True))


def curves_of(
    timezones: Sequence[str],
    habit: Floats,
    clusters: Clusters,
    pushes: Floats,
    opens: Floats,
    tables: Tables,
    strength: Strength,
) -> Floats:
    """Return every user's curve, (n, 48); a user without evidence has that of their timezone.

    Args:
        timezones: (n,), the cohorts.
        habit: (n, 48) as `habits.habits` returns it.
        clusters: the mixture habits shrink to.
        pushes: (n, 48) decayed and weighted.
        opens: (n, 48) likewise.
        tables: what everybody else says.
        strength: how much evidence moves a curve.
    """
    usual = _seen(clusters.usual(), strength.waiting)[clusters.rows(timezones)]
    more = (_seen(habit, strength.waiting) / usual) ** strength.elasticity
    prior = _mean_one(tables.curves[tables.rows(timezones)] * more, tables.reference)
    expected = shrunk_rates(pushes, opens, tables.rate)[:, None] * pushes
    return posterior(prior, expected, opens, strength.opens, tables.reference)


def _seen(habit: Floats, waiting: float) -> Floats:
    """Return how much a push is seen that comes at each hour, up to a constant, (n, 48)."""
    return ahead((1.0 - ANY_HOUR) * habit + ANY_HOUR / (CELLS // 2), waiting)


def evidence(pushes: PushCounts, scale: float) -> npt.NDArray[np.float32]:
    """Return the number of (decayed, weighted) pushes behind each user's curve, shape (n,)."""
    return np.asarray(pushes.weighted(scale).sum(axis=1), dtype=np.float32)
