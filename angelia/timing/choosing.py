"""The parameters of habits and curves, chosen by held-out likelihood on a sample.

Grain: sampled user; pure functions, reads and writes nothing. The window is cut into quarters. A habit is
chosen by the active hours of a quarter, given all before it: each person weighs the same. A curve's
parameters are chosen by the opens of each quarter in turn, given the other three, where the sample has
`ENOUGH_OPENS` of them; elsewhere only `waiting` is chosen, by activity in the three hours from each hour.
Both walk over a grid (`GRID`, `STRENGTH_GRID`), one step of one parameter at a time, from the defaults until
no step is better. What responses chose holds for a week of nights (`Settled`), since it hardly moves and
choosing takes longer than the curves. Surprise: activity of the quarter that is predicted never helps to
predict its opens, because an open is followed by a visit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from angelia.timing.curves import CohortSums, Strength, Tables, cohort_tables, curves_of, shrunk_rates
from angelia.timing.evidence import CELLS, Floats, Ints, exact
from angelia.timing.habits import Clusters, Habit, fit_clusters, habits

QUARTERS = 4
HALF_LIVES = (14.0, 56.0, 365.0)
ENOUGH_OPENS = 300.0
WITHIN_H = 3
GRID: Mapping[str, tuple[float, ...]] = {
    "sharpness": (0.0, 0.3, 0.6, 1.0),
    "half_life_days": HALF_LIVES,
    "width_h": (0.0, 0.5, 0.8, 1.2, 2.0),
    "coupling": (0.0, 0.25, 0.5, 1.0),
    "workday": (2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0),
    "day_off": (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0),
}
STRENGTH_GRID: Mapping[str, tuple[float, ...]] = {
    "elasticity": (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 1.0, 1.25),
    "waiting": (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    "opens": (20.0, 80.0, 320.0),
}
CHOSEN_ON, BY_RESPONSES = "chosen_on", "responses"
SETTLED_DAYS = 7  # nights that go on with what one of them chose by responses
T = TypeVar("T", Habit, Strength)


@dataclass(frozen=True)
class Sample:
    """What sampled people did, by quarter of the window; rows in order of their ordinals.

    Attributes:
        timezones: (n,).
        activity: (half-lives, 1 + quarters, n, 48) active hours, decayed as of the window's end; the first
            layer is what came before the window.
        pushes: (quarters, n, 48) decayed and weighted.
        opens: (quarters, n, 48) likewise.
    """

    timezones: tuple[str, ...]
    activity: Floats
    pushes: Floats
    opens: Floats

    @classmethod
    def join(cls, parts: Sequence[Sample]) -> Sample:
        """Return the people of several shards, in the shards' order."""
        if not parts:
            none = np.zeros((QUARTERS, 0, CELLS))
            return cls((), np.zeros((len(HALF_LIVES), 1 + QUARTERS, 0, CELLS)), none, none)
        return cls(
            tuple(name for part in parts for name in part.timezones),
            np.concatenate([part.activity for part in parts], axis=2),
            np.concatenate([part.pushes for part in parts], axis=1),
            np.concatenate([part.opens for part in parts], axis=1),
        )

    def until(self, half_life_days: float, quarter: int, days: int) -> Floats:
        """Return active hours before a quarter, decayed as of its begin.

        `days` is the window's length.
        """
        ahead = days - days * quarter // QUARTERS
        grown = exact(2.0 ** (ahead / half_life_days))
        return exact(grown * self._layers(half_life_days)[: 1 + quarter].sum(axis=0))

    def without(self, half_life_days: float, quarter: int) -> Floats:
        """Return active hours outside a quarter."""
        layers = self._layers(half_life_days)
        return exact(layers.sum(axis=0) - layers[1 + quarter])

    def whole(self, half_life_days: float) -> Floats:
        """Return all active hours."""
        return exact(self._layers(half_life_days).sum(axis=0))

    def later(self, quarter: int) -> Floats:
        """Return the active hours of a quarter, the least decayed ones."""
        return np.asarray(self._layers(max(HALF_LIVES))[1 + quarter])

    def _layers(self, half_life_days: float) -> Floats:
        return np.asarray(self.activity[HALF_LIVES.index(half_life_days)])


@dataclass(frozen=True)
class CurveChoice:
    """What was chosen, and how it was judged.

    Attributes:
        habit: of activity.
        strength: of response.
        clusters: fitted to the whole window.
        by: `responses` or `activity`: what the strength was chosen by.
        gain: held-out log-likelihood of an active hour, the chosen habit's less everybody's; None = nobody
            was active.
    """

    habit: Habit
    strength: Strength
    clusters: Clusters
    by: str
    gain: float | None


@dataclass(frozen=True)
class Settled:
    """Parameters that responses chose on one of the last nights, `on`, and their `gain`."""

    habit: Habit
    strength: Strength
    gain: float | None
    on: str

    @classmethod
    def of(cls, meta: Mapping[str, Any], since: str) -> Settled | None:
        """Return what a commit's meta says of them; None if they are from before `since`."""
        on = str(meta.get(CHOSEN_ON, ""))
        if on < since or meta.get("chosen_by") != BY_RESPONSES:
            return None
        return cls(Habit(**meta["habit"]), Strength(**meta["strength"]), meta["gain"], on)


def choose(sample: Sample, sums: CohortSums, days: int, settled: Settled | None = None) -> CurveChoice:
    """Choose everything from a sample and everybody's sums, but for what is settled."""
    clusters = fit_clusters(sample.whole(max(HALF_LIVES)), sample.timezones)
    if settled is not None:
        return CurveChoice(settled.habit, settled.strength, clusters, BY_RESPONSES, settled.gain)
    habit, gain = choose_habit(sample, days)
    strength, by = choose_strength(sample, sums, habit)
    return CurveChoice(habit, strength, clusters, by, gain)


def choose_habit(
    sample: Sample, days: int, grid: Mapping[str, Sequence[float]] = GRID
) -> tuple[Habit, float | None]:
    """Return the habit that predicts best, and what it gains over everybody's hours.

    `days` is the window's length; the gain is None where nobody was active.
    """
    has_past = bool(sample.activity[:, 0].any())
    # With next to nothing before it, a quarter would say how to treat newcomers only.
    quarters = range(0 if has_past else QUARTERS - 1, QUARTERS)
    tests = [Origin.of(sample, quarter, days, grid["half_life_days"]) for quarter in quarters]
    people = sum(len(test.later) for test in tests)
    if not people:
        return Habit(), None

    def score(habit: Habit) -> float:
        return sum(likelihood(test.habits(habit), test.later) for test in tests) / people

    def of_everybody() -> float:
        return (
            sum(likelihood(np.broadcast_to(test.usual, test.later.shape), test.later) for test in tests)
            / people
        )

    habit, best = walk(Habit(), grid, score)
    return habit, best - of_everybody()


@dataclass(frozen=True)
class Origin:
    """One quarter and what was before it, of the people who were active in it.

    Attributes:
        earlier: half-life -> (m, 48) active hours before the quarter.
        later: (m, 48) active hours of the quarter.
        clusters: fitted to everybody's hours before the quarter.
        zone: (m,) rows of the clusters' shares.
        usual: (1, 48) everybody's habit.
    """

    earlier: dict[float, Floats]
    later: Floats
    clusters: Clusters
    zone: Ints
    usual: Floats

    @classmethod
    def of(cls, sample: Sample, quarter: int, days: int, half_lives: Sequence[float]) -> Origin:
        """Cut a sample before a quarter."""
        later = sample.later(quarter)
        active = later.sum(axis=1) > 0
        longest = sample.until(max(half_lives), quarter, days)
        clusters = fit_clusters(longest, sample.timezones)
        return cls(
            {half: sample.until(half, quarter, days)[active] for half in half_lives},
            later[active],
            clusters,
            clusters.rows(sample.timezones)[active],
            fit_clusters(longest, sample.timezones, clusters=1).usual()[-1:],
        )

    def habits(self, habit: Habit) -> Floats:
        """Return habits from what was before the quarter."""
        return habits(self.earlier[habit.half_life_days], self.zone, self.clusters, habit)


def likelihood(habit: Floats, later: Floats) -> float:
    """Return the sum over people of an active hour's mean log-likelihood; both (n, 48)."""
    return float(((later * np.log(habit)).sum(axis=1) / later.sum(axis=1)).sum())


def choose_strength(
    sample: Sample, sums: CohortSums, habit: Habit, grid: Mapping[str, Sequence[float]] = STRENGTH_GRID
) -> tuple[Strength, str]:
    """Return the strength that predicts each quarter from the others best, and what judged it."""
    by_opens = float(sample.opens.sum()) >= ENOUGH_OPENS
    if not by_opens and not sample.activity.any():
        return Strength(), "nothing"
    folds = [Fold.of(sample, habit, quarter) for quarter in range(QUARTERS)]

    def by_responses(strength: Strength) -> float:
        tables = cohort_tables(sums, strength)
        return sum(fold.score(fold.curves(tables, strength), tables) for fold in folds)

    def by_presence(strength: Strength) -> float:
        # Activity says where people will be, not how far their opens follow it: elasticity keeps its default.
        plain = replace(strength, elasticity=1.0)
        tables = cohort_tables(sums, plain)
        return sum(by_activity(fold.curves(tables, plain), fold.later) for fold in folds)

    if by_opens:
        return walk(Strength(), grid, by_responses)[0], BY_RESPONSES
    return walk(Strength(), {"waiting": grid["waiting"]}, by_presence)[0], "activity"


@dataclass(frozen=True)
class Fold:
    """One quarter held out: evidence of the others, and its own pushes, opens and activity."""

    timezones: tuple[str, ...]
    clusters: Clusters
    habit: Floats
    pushes: Floats
    opens: Floats
    later: Floats
    later_pushes: Floats
    later_opens: Floats

    @classmethod
    def of(cls, sample: Sample, habit: Habit, quarter: int) -> Fold:
        """Hold out a quarter of the sample."""
        clusters = fit_clusters(sample.without(max(HALF_LIVES), quarter), sample.timezones)
        activity = sample.without(habit.half_life_days, quarter)
        own = habits(activity, clusters.rows(sample.timezones), clusters, habit)
        others = [number for number in range(QUARTERS) if number != quarter]
        return cls(
            sample.timezones,
            clusters,
            own,
            sample.pushes[others].sum(axis=0),
            sample.opens[others].sum(axis=0),
            sample.later(quarter),
            sample.pushes[quarter],
            sample.opens[quarter],
        )

    def curves(self, tables: Tables, strength: Strength) -> Floats:
        """Return curves from the other quarters."""
        return curves_of(self.timezones, self.habit, self.clusters, self.pushes, self.opens, tables, strength)

    def score(self, curve: Floats, tables: Tables) -> float:
        """Return how well curves predict the quarter's opens."""
        rate = shrunk_rates(self.pushes, self.opens, tables.rate)
        return predictive_score(curve, rate, self.later_pushes, self.later_opens)


def predictive_score(curve: Floats, rate: Floats, pushes: Floats, opens: Floats) -> float:
    """Return the Poisson log-likelihood of later opens, up to a constant.

    Args:
        curve: (n, 48) curves made from other evidence.
        rate: (n,) open rates from other evidence.
        pushes: (n, 48) later pushes.
        opens: (n, 48) later opens.
    """
    return float((opens * np.log(curve) - rate[:, None] * pushes * curve).sum())


def by_activity(curve: Floats, later: Floats) -> float:
    """Return how well curves (n, 48) predict activity in the three hours from each hour."""
    half = CELLS // 2
    days = later.reshape(-1, 2, half)
    soon = sum((np.roll(days, -step, axis=2) for step in range(1, WITHIN_H)), days)
    share = curve.reshape(-1, 2, half)
    return float((soon * np.log(share / share.sum(axis=2, keepdims=True))).sum())


def walk(start: T, grid: Mapping[str, Sequence[float]], score: Callable[[T], float]) -> tuple[T, float]:
    """Return the best of the grid and its score: step by step, until no neighbour is better."""
    best, best_score, is_better = start, score(start), True
    known = {best: best_score}
    while is_better:
        is_better = False
        for name, values in grid.items():
            for direction in (1, -1):
                place = values.index(getattr(best, name)) + direction
                while 0 <= place < len(values):
                    change: dict[str, Any] = {name: values[place]}
                    candidate = replace(best, **change)
                    # Around a corner the same neighbour is met again, and a score takes its time.
                    its_score = known[candidate] if candidate in known else score(candidate)
                    known[candidate] = its_score
                    if its_score <= best_score + 1e-9:
                        break
                    best, best_score, is_better = candidate, its_score, True
                    place += direction
    return best, best_score
