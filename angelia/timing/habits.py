"""Habits: at which hours a person is active, given that they are active on such a day.

Grain: user; a habit has 48 values, 24 local hours of a workday and of a day off, and each half sums to 1.
Pure functions on arrays for one shard; reads and writes nothing. Own active hours are smoothed around the
clock, lent between the two kinds of day, and shrunk to a mixture of a dozen clusters of people (`Clusters`);
the same hours say how much of each cluster a person is. So a few active hours already say which other hours
are likely, and a person without any has the mixture of their timezone. All parameters are in `Habit`;
`choosing.choose_habit` picks them by held-out likelihood.

Source: Dempster, Laird & Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm, section
4.3, for the mixture of multinomials; the prior's weight is that of a Dirichlet with this mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from angelia.timing.evidence import CELLS, Floats, Ints, exact

HOURS = CELLS // 2
CLUSTERS = 12
ROUNDS = 20
FIT_PEOPLE = 8_000  # of a larger sample every second, third, ... person: a dozen clusters need no more
ZONE_PEOPLE = 50.0  # people of everywhere behind a timezone's own mixture
CLUSTER_HOURS = 20.0  # active hours of everybody behind a cluster's
SHARED = 1.0  # active hours behind everybody's own share, so that no hour is impossible
# Share of its active hours that a kind of day lends the other in a cluster: next to nothing where both were
# seen, and everything where a history holds no day off yet.
LENT = 0.05
START_AT_MOST = 50.0  # active hours beyond which a person is no likelier to start a cluster


@dataclass(frozen=True)
class Habit:
    """How far a person's own active hours count.

    Attributes:
        half_life_days: an active hour so old counts half.
        width_h: standard deviation of the smoothing around the clock, in hours; 0 = none.
        coupling: share of a kind of day's hours that the other kind lends.
        workday: pseudo active hours behind the mixture on workdays.
        day_off: likewise on days off.
        sharpness: power of the likelihood in the choice of clusters; 0 = everybody is the same mixture.
    """

    half_life_days: float = 56.0
    width_h: float = 0.8
    coupling: float = 0.5
    workday: float = 40.0
    day_off: float = 40.0
    sharpness: float = 0.6


@dataclass(frozen=True)
class Clusters:
    """Clusters of people by their hours, and how common each is in each timezone.

    Attributes:
        zones: timezones, sorted.
        share: (zones + 1, k); the last row is everybody's, for timezones never seen.
        hours: (k, 48), each half sums to 1; ordered by the mean hour of their workday.
    """

    zones: tuple[str, ...]
    share: Floats
    hours: Floats

    def rows(self, timezones: Sequence[str]) -> Ints:
        """Return the row of `share` of each timezone."""
        place = {name: row for row, name in enumerate(self.zones)}
        return np.array([place.get(name, len(self.zones)) for name in timezones], dtype=np.int64)

    def usual(self) -> Floats:
        """Return the habit of a person without evidence by row of `share`, (zones + 1, 48)."""
        return _blend(
            _weights(np.zeros((len(self.share), CELLS)), self, np.arange(len(self.share)), 1.0), self
        )

    def to_meta(self) -> dict[str, Any]:
        """Return what a commit's meta keeps."""
        return {
            "zones": list(self.zones),
            "share": np.round(self.share, 6).tolist(),
            "hours": np.round(self.hours, 6).tolist(),
        }

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> Clusters:
        """Return the clusters that a meta keeps; what was rounded to 0 is almost 0."""
        share, hours = (np.maximum(np.asarray(meta[name]), 1e-9) for name in ("share", "hours"))
        return cls(tuple(meta["zones"]), share, hours)


def fit_clusters(
    activity: Floats, timezones: Sequence[str], clusters: int = CLUSTERS, seed: int = 0
) -> Clusters:
    """Fit the mixture to the active hours (n, 48) of a sample of people.

    The order of the people matters for the start: give them by ordinal.
    """
    zones = tuple(sorted(set(timezones)))
    step = -(-len(activity) // FIT_PEOPLE)
    if step > 1:
        activity, timezones = activity[::step], timezones[::step]
    everybody = _shares(_lent(activity.sum(axis=0)[None]) + SHARED / HOURS)[0]
    total = activity.sum(axis=1)
    start = np.minimum(total, START_AT_MOST)
    k = min(clusters, int((start > 0).sum()))
    if k < 2:
        return Clusters(zones, np.ones((len(zones) + 1, 1)), everybody.reshape(1, CELLS))
    first = np.random.default_rng(seed).choice(len(activity), k, replace=False, p=start / start.sum())
    own = _by_day(smoothed(activity[first], 1.0, 0.5))
    hours = _shares(own + 3.0 * everybody).reshape(k, CELLS)
    model = Clusters((), np.full((1, k), 1.0 / k), hours)
    nowhere = np.zeros(len(activity), np.int64)
    for _ in range(ROUNDS):
        weight = _weights(activity, model, nowhere, 1.0)
        counted = _lent(weight.T @ activity)
        hours = _shares(counted + CLUSTER_HOURS * everybody).reshape(k, CELLS)
        share = (weight.sum(axis=0) + 1.0) / (len(activity) + k)
        model = Clusters((), share[None], hours)
    # Around the clock the mean hour is an angle; it begins at four in the morning, when fewest are awake.
    angle = np.exp(2j * np.pi * (np.arange(HOURS) + 0.5 - 4.0) / HOURS)
    order = np.argsort(np.angle(hours[:, :HOURS] @ angle) % (2 * np.pi), kind="stable")
    weight = _weights(activity, model, nowhere, 1.0)[:, order]
    zone_of = Clusters(zones, model.share, hours).rows(timezones)
    members = np.stack([weight[zone_of == row].sum(axis=0) for row in range(len(zones))] or [share[order]])
    people = np.bincount(zone_of, minlength=len(zones))[: len(zones), None]
    by_zone = (members + ZONE_PEOPLE * share[order]) / (people + ZONE_PEOPLE)
    return Clusters(zones, np.vstack([by_zone, share[order]]), hours[order])


def habits(activity: Floats, zone: Ints, clusters: Clusters, habit: Habit) -> Floats:
    """Return everybody's habit, (n, 48).

    Args:
        activity: (n, 48) decayed active hours, multiples of 2**-20.
        zone: (n,) rows of `clusters.share`.
        clusters: the mixture.
        habit: the parameters.
    """
    prior = _blend(_weights(activity, clusters, zone, habit.sharpness), clusters)
    own = smoothed(activity, habit.width_h, habit.coupling)
    strength = np.repeat([habit.workday, habit.day_off], HOURS)
    # Like is compared with like: who does as the mixture keeps its sharp hours, smoothed as both are.
    usual = smoothed(prior, habit.width_h, 0.0)
    return _shares(_by_day(prior * (own + strength * usual) / usual)).reshape(-1, CELLS)


def likeliest(activity: Floats, zone: Ints, clusters: Clusters, habit: Habit) -> Ints:
    """Return the cluster that each person most probably is, (n,)."""
    return np.asarray(_weights(activity, clusters, zone, habit.sharpness).argmax(axis=1), dtype=np.int64)


def smoothed(activity: Floats, width_h: float, coupling: float) -> Floats:
    """Return active hours (n, 48) with the other kind of day's, smoothed around the clock."""
    both = _by_day(activity)
    both = both + coupling * both[:, ::-1]
    return np.asarray((both @ _kernel(width_h)).reshape(-1, CELLS))


def _kernel(width_h: float) -> Floats:
    """Return the (24, 24) smoothing matrix."""
    # Its values are so coarse that products with counts are exact.
    away = np.minimum(np.arange(HOURS), HOURS - np.arange(HOURS))
    weight = np.exp(-0.5 * (away / width_h) ** 2) if width_h > 0 else (away == 0).astype(np.float64)
    weight = np.round(weight / weight.sum() * 4096.0) / 4096.0
    return np.stack([np.roll(weight, hour) for hour in range(HOURS)])


def _lent(values: Floats) -> Floats:
    both = _by_day(values)
    return both + LENT * both[:, ::-1]


def _by_day(values: Floats) -> Floats:
    return values.reshape(-1, 2, HOURS)


def _shares(values: Floats) -> Floats:
    return np.asarray(values / values.sum(axis=-1, keepdims=True))


def _weights(activity: Floats, clusters: Clusters, zone: Ints, sharpness: float) -> Floats:
    """Return how much of each cluster each person is, (n, k)."""
    # Counts have 20 binary places and logarithms 12 here, so the product is exact whatever the shard.
    likelihood = exact(activity) @ (np.round(np.log(clusters.hours) * 4096.0) / 4096.0).T
    weight = np.log(clusters.share)[zone] + sharpness * likelihood
    weight = np.exp(weight - weight.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def _blend(weight: Floats, clusters: Clusters) -> Floats:
    """Return the mixtures of the clusters' hours, (n, 48)."""
    # Cluster by cluster and not as a matrix product, so that rounding is the same whatever the shard.
    blend = np.zeros((len(weight), CELLS))
    for k in range(weight.shape[1]):
        blend += weight[:, k, None] * clusters.hours[k]
    return blend
