"""Ours and its peers: each predicts people's active hours from the history alone.

A method returns shares of the hours of a workday and of a day off, (n, 2, 24), each summing to 1. Peers with
parameters have them chosen on the last part of the history, by the same likelihood that is reported.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from angelia.timing.choosing import HALF_LIVES, QUARTERS, CurveChoice, Sample, choose
from angelia.timing.curves import cohort_sums, cohort_tables, curves_of
from angelia.timing.evidence import CELLS, Floats, PushCounts, exact
from angelia.timing.habits import habits
from benchmarks.measured.send_time_data import TEST_DAYS_AT_MOST, HoursLog

WINDOW_DAYS, HISTORY_DAYS = 28, 365
SAMPLE = 20_000
DENSITY = [
    (half, width, lent, strength)
    for half in (7.0, 14.0, 28.0, 56.0, 120.0, 365.0, np.inf)
    for width in (0.0, 0.5, 0.8, 1.2, 2.0)
    for lent in (0.0, 0.25, 0.5, 1.0)
    for strength in (1.0, 3.0, 10.0, 30.0, 100.0)
]


def shares(values: Floats) -> Floats:
    """Return values (n, 2, 24) as shares of each kind of day."""
    return np.asarray(values / values.sum(axis=2, keepdims=True))


def by_day(values: Floats) -> Floats:
    """Return (n, 48) as (n, 2, 24)."""
    return values.reshape(-1, 2, CELLS // 2)


def everybody(log: HoursLog, until: int) -> Floats:
    """Return everybody's share of hours before a day, one active hour spread evenly among them."""
    return shares(by_day(log.counts(0, until).sum(axis=0)[None]) + 1 / 24)


def population_hour(log: HoursLog) -> Floats:
    """Predict everybody's hours for everybody."""
    return np.repeat(everybody(log, log.cut), log.people, axis=0)


def most_active_hour(log: HoursLog) -> Floats:
    """Predict the hours in the order of the person's own counts; equals by everybody's."""
    own = by_day(log.counts(0, log.cut)).sum(axis=1, keepdims=True)
    return shares(own + 1e-6 * everybody(log, log.cut))


def user_histogram(log: HoursLog) -> Floats:
    """Predict the person's own counts plus one an hour."""
    own = by_day(log.counts(0, log.cut)).sum(axis=1, keepdims=True)
    return np.repeat(shares(own + 1.0), 2, axis=1)


def kernel_density(log: HoursLog) -> Floats:
    """Predict a circular kernel density of own hours, shrunk to everybody's, all tuned."""
    split = log.cut - min(TEST_DAYS_AT_MOST, log.cut // 4)
    later = by_day(log.counts(split, log.cut))
    rows = np.flatnonzero(later.any(axis=(1, 2)))
    earlier = {
        half: by_day(log.counts(0, split, half))[rows] for half in dict.fromkeys(d[0] for d in DENSITY)
    }
    usual, weight = everybody(log, split), later[rows] / later[rows].sum(axis=(1, 2), keepdims=True)
    score = [(weight * np.log(density(earlier[d[0]], usual, *d[1:]))).sum() for d in DENSITY]
    half, *rest = DENSITY[int(np.argmax(score))]
    return density(by_day(log.counts(0, log.cut, half)), everybody(log, log.cut), *rest)


def density(own: Floats, usual: Floats, width: float, lent: float, strength: float) -> Floats:
    """Return own hours (n, 2, 24) smoothed by a wrapped Gaussian and shrunk to the usual ones."""
    own = own + lent * own[:, ::-1]
    if width:
        away = np.minimum(np.arange(24), 24 - np.arange(24))
        kernel = np.exp(-0.5 * (away / width) ** 2)
        own = own @ np.stack([np.roll(kernel / kernel.sum(), hour) for hour in range(24)])
    return shares(own + strength * usual)


PEERS = {
    "population_hour": population_hour,
    "most_active_hour": most_active_hour,
    "user_histogram": user_histogram,
    "kernel_density": kernel_density,
}


@dataclass(frozen=True)
class Ours:
    """What the product makes of the history: habits, response curves, and what was chosen."""

    habit: Floats
    curve: Floats
    choice: CurveChoice


def ours(log: HoursLog) -> Ours:
    """Predict as the nightly job does: four weeks, a year before, parameters from a sample."""
    days = min(WINDOW_DAYS, log.cut)
    sample = sample_of(log, days)
    pushes, opens = sample.pushes.sum(axis=0), sample.opens.sum(axis=0)
    nothing = np.zeros_like(pushes)
    recent = exact(log.counts(log.cut - days, log.cut))
    counted = (PushCounts(values, nothing, nothing) for values in (pushes, opens))
    sums = cohort_sums(log.timezones, recent, *counted)
    rows = np.linspace(0, log.people - 1, min(SAMPLE, log.people)).astype(np.int64)
    part = Sample(
        tuple(log.timezones[row] for row in rows.tolist()),
        sample.activity[:, :, rows],
        sample.pushes[:, rows],
        sample.opens[:, rows],
    )
    choice = choose(part, sums, days)
    activity = sample.whole(choice.habit.half_life_days)
    habit = habits(activity, choice.clusters.rows(log.timezones), choice.clusters, choice.habit)
    tables = cohort_tables(sums, choice.strength)
    curve = curves_of(log.timezones, habit, choice.clusters, pushes, opens, tables, choice.strength)
    return Ours(by_day(habit), by_day(curve), choice)


def sample_of(log: HoursLog, days: int) -> Sample:
    """Return everybody's history: what was before the last `days`, then these by quarter."""
    begin = log.cut - days
    cuts = [
        max(0, log.cut - HISTORY_DAYS),
        *(begin + days * quarter // QUARTERS for quarter in range(QUARTERS + 1)),
    ]
    activity = np.zeros((len(HALF_LIVES), 1 + QUARTERS, log.people, CELLS))
    for row, half in enumerate(HALF_LIVES):
        for layer, (first, last) in enumerate(itertools.pairwise(cuts)):
            faded = 0.5 ** ((log.cut - last) / half)
            activity[row, layer] = exact(log.counts(first, last, half) * faded)
    none = np.zeros((QUARTERS, log.people, CELLS))
    return Sample(
        tuple(log.timezones),
        activity,
        none if log.pushes is None else log.pushes,
        none if log.opens is None else log.opens,
    )
