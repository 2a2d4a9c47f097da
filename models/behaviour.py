"""Count what a person did up to a day, by category, each deed decayed.

Grain: user, and user x category. Pure functions on the rows of `user_days` and `user_pushes` of some users up
    to a closed day; training calls them with the day before each push and scoring with ds, so both see the
    same. Nothing after `day` enters, whatever rows are passed. Surprise: an item counts for the category of
    the same name, since events name items or categories and materials name categories.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.arrow import where
from angelia.users.history import days_of
from models.taste import LOOKS_HALF_LIFE, PastLooks, Taste, visits

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WINDOW_DAYS = 28
SLOW_DAYS, FAST_DAYS = 14.0, 3.0  # half-lives
TIRED_DAYS = 2.0  # time constant of pushes that are still felt
WANTED = ("cart", "purchase")
LOOKS, PUSHES = 4.0, 6.0  # pseudo looks and pushes behind a person's share and open rate of a category
# Opens behind a person's own open rate: beyond luck rates differ by a third (KuaiRand .37); 1 / .37^2 is 7.
RESPONSE = 8.0
DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Population:
    """What people are compared with: fixed in training and kept with the model.

    Attributes:
        shares: each category's share of all looks, in the order of the model's categories.
        open_rate: opens per push.
        taste: how likings are spread among people; None where nobody has looked at anything.
    """

    categories: tuple[str, ...]
    shares: Floats
    open_rate: float
    taste: Taste | None = None

    @classmethod
    def of(cls, categories: Sequence[str], days: pa.Table, pushes: pa.Table) -> Population:
        """Return what the rows of a whole population, or of a sample of it, say."""
        item, n = _codes(days["item"], categories), days["n_events"].to_numpy().astype(np.float64)
        known = item >= 0
        counts = np.bincount(item[known], weights=n[known], minlength=len(categories)) + 1.0
        is_open = np.asarray(pc.equal(pushes["kind"], "opened").to_numpy(zero_copy_only=False))
        rate = (is_open.sum() + 1.0) / ((~is_open).sum() + 20.0)
        return cls(tuple(categories), counts / counts.sum(), float(min(rate, 1.0)))

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "categories": list(self.categories),
            "shares": np.round(self.shares, 6).tolist(),
            "open_rate": round(self.open_rate, 6),
            "taste": None if self.taste is None else self.taste.as_dict(),
        }

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Population:
        """Return what `as_dict` said."""
        taste = Taste.from_dict(facts["taste"]) if facts.get("taste") else None
        shares = np.array(facts["shares"], np.float64)
        return cls(tuple(facts["categories"]), shares, float(facts["open_rate"]), taste)

    def knowing(
        self, days: pa.Table, users: pa.Table, *, day: int, before: PastLooks | None = None
    ) -> Population:
        """Return the same with likings learned from the looks of `users` (row by row) up to a day.

        `before` is what is kept of their older looks.
        """
        looks = looks_until(days, before, self.categories, day=day, n=users.num_rows)
        return replace(self, taste=Taste.learn(self.categories, looks, users) if looks.any() else None)


USER_NUMBERS = ("activity", "response", "felt")
PAIR_NUMBERS = (
    "taste",
    "category_looks",
    "category_looks_3d",
    "category_wants",
    "category_response",
    "category_felt",
)


@dataclass(frozen=True)
class Behaviour:
    """Numbers as of a day: by user, (n,), and by user and category, (n, categories)."""

    categories: tuple[str, ...]
    user: Mapping[str, Floats]
    pair: Mapping[str, Floats]

    def pick(self, rows: Ints) -> Behaviour:
        """Return the same of the rows with these numbers."""
        user, pair = (
            {name: values[rows] for name, values in group.items()} for group in (self.user, self.pair)
        )
        return Behaviour(self.categories, user, pair)

    def and_(self, other: Behaviour) -> Behaviour:
        """Return the rows of both, which know the same categories."""
        groups = ((self.user, other.user), (self.pair, other.pair))
        user, pair = ({n: np.concatenate([a[n], b[n]]) for n in a} for a, b in groups)
        return Behaviour(self.categories, user, pair)

    def take(self, part: slice) -> Behaviour:
        """Return the same of some rows."""
        pick = (self.user, self.pair)
        user, pair = ({name: values[part] for name, values in group.items()} for group in pick)
        return Behaviour(self.categories, user, pair)

    def of(self, category: str | None, rows: Ints) -> dict[str, Floats]:
        """Return the pair numbers of some users for one category; nan if it is unknown."""
        if category not in self.categories:
            return {name: np.full(len(rows), np.nan) for name in self.pair}
        column = self.categories.index(category)
        return {name: values[rows, column] for name, values in self.pair.items()}


def behaviour(
    days: pa.Table,
    pushes: pa.Table,
    category_of: Mapping[str, str],
    population: Population,
    *,
    day: int,
    n: int,
    users: pa.Table | None = None,
    asked: Ints | None = None,
    before: PastLooks | None = None,
) -> Behaviour:
    """Return the numbers of n users as of the end of a day.

    Args:
        days: `row` (user, 0..n-1), `day`, `event_type`, `item`, `n_events`, `hours`.
        pushes: `row`, `day` (of at_ts), `kind`, `material_id`, and `sent_day` (fraction of a day allowed).
        category_of: material -> category.
        population: what people are compared with.
        day: the closed day, in the same count as the rows' days.
        users: the n users' `gender`, `age_years`, `tags`; without them nobody has a taste.
        asked: the rows whose taste is asked for, since it is the costly number; all where None.
        before: what is kept of older looks; then `days` must begin right after its day.
    """
    k = len(population.categories)
    when = days["day"].to_numpy().astype(np.int64)
    here = (when <= day) & (when > day - WINDOW_DAYS)
    tastes = _tastes(days, before, population, users, asked, day, n)
    days, age = where(days, pa.array(here)), day - when[here]
    row, item = days["row"].to_numpy().astype(np.int64), _codes(days["item"], population.categories)
    count = days["n_events"].to_numpy().astype(np.float64)
    wants = np.asarray(pc.is_in(days["event_type"], pa.array(WANTED)).to_numpy(zero_copy_only=False))
    known = item >= 0

    def by_category(rows: npt.NDArray[np.bool_], half_life: float) -> Floats:
        weight = count[rows] * 0.5 ** (age[rows] / half_life)
        cell = row[rows] * k + item[rows]
        return np.bincount(cell, weights=weight, minlength=n * k).reshape(n, k).astype(np.float64)

    looks, fresh = by_category(known & ~wants, SLOW_DAYS), by_category(known & ~wants, FAST_DAYS)
    wished = by_category(known & wants, SLOW_DAYS)
    pair: dict[str, Floats] = {
        "taste": tastes,
        "category_looks": _lift(looks, population.shares, LOOKS),
        "category_looks_3d": _lift(fresh, population.shares, LOOKS),
        "category_wants": _lift(wished, population.shares, LOOKS / 2),
    }
    active, active_age = days_of(row, age, n)
    decayed = 0.5 ** (active_age / SLOW_DAYS)
    user: dict[str, Floats] = {"activity": np.log1p(np.bincount(active, weights=decayed, minlength=n))}
    sent, opened = answers_until(pushes, before, day=day, n=n)
    own = population.open_rate * (opened + RESPONSE) / (sent * population.open_rate + RESPONSE)
    user["response"] = np.log(own / population.open_rate)
    _add_responses(pushes, category_of, population, own, day=day, n=n, user=user, pair=pair)
    return Behaviour(population.categories, user, pair)


def looks_until(
    days: pa.Table, before: PastLooks | None, categories: Sequence[str], *, day: int, n: int
) -> Floats:
    """Return how often n users looked at each category up to a day, (n, categories).

    The window counts whole; what is kept of the days before it has faded.
    """
    if before is None:
        return visits(days, categories, since=day - WINDOW_DAYS, day=day, n=n)
    faded = 0.5 ** (max(day - WINDOW_DAYS - before.day, 0) / LOOKS_HALF_LIFE)
    since = visits(days, categories, since=before.day, day=day, n=n)
    return np.asarray(faded * before.counts(categories, n) + since)


def answers_until(pushes: pa.Table, before: PastLooks | None, *, day: int, n: int) -> tuple[Floats, Floats]:
    """Return how many pushes n users got up to a day, and how many they opened, (n,) each.

    As with looks, the window counts whole, and what is kept of the days before it has faded.
    """
    when, row = (pushes[name].to_numpy().astype(np.int64) for name in ("day", "row"))
    is_open = np.asarray(pc.equal(pushes["kind"], "opened").to_numpy(zero_copy_only=False))
    first = day - WINDOW_DAYS if before is None else before.day
    here = (when <= day) & (when > first)
    sent, opened = (
        np.bincount(row[here & kind], minlength=n).astype(np.float64) for kind in (~is_open, is_open)
    )
    if before is None:
        return sent, opened
    faded = 0.5 ** (max(day - WINDOW_DAYS - before.day, 0) / LOOKS_HALF_LIFE)
    older = before.pushes(n)
    return sent + faded * older[0], opened + faded * older[1]


def _tastes(
    days: pa.Table,
    before: PastLooks | None,
    population: Population,
    users: pa.Table | None,
    asked: Ints | None,
    day: int,
    n: int,
) -> Floats:
    tastes = np.zeros((n, len(population.categories)))
    taste = population.taste
    if taste is not None and users is not None:
        looks = looks_until(days, before, taste.categories, day=day, n=n)
        rows = np.arange(n) if asked is None else asked
        columns = [population.categories.index(name) for name in taste.categories]
        tastes[rows[:, None], columns] = taste.of(looks[rows], users.take(pa.array(rows)))
    return tastes


def _add_responses(
    pushes: pa.Table,
    category_of: Mapping[str, str],
    population: Population,
    own: Floats,
    *,
    day: int,
    n: int,
    user: dict[str, Floats],
    pair: dict[str, Floats],
) -> None:
    """Add a person's open rate by category over their `own` (n,), and the pushes still felt."""
    k = len(population.categories)
    when = pushes["day"].to_numpy().astype(np.int64)
    pushes = where(pushes, pa.array((when <= day) & (when > day - WINDOW_DAYS)))
    row, age = pushes["row"].to_numpy().astype(np.int64), day + 1.0 - pushes["sent_day"].to_numpy()
    is_open = np.asarray(pc.equal(pushes["kind"], "opened").to_numpy(zero_copy_only=False))
    names = pushes["material_id"].combine_chunks().dictionary_encode()
    place = {name: i for i, name in enumerate(population.categories)}
    codes = [place.get(category_of.get(name, ""), -1) for name in names.dictionary.to_pylist()]
    category = np.array([*codes, -1], np.int64)[names.indices.fill_null(len(codes)).to_numpy()]
    weight = 0.5 ** (age / SLOW_DAYS)

    def each(rows: npt.NDArray[np.bool_], weights: Floats) -> Floats:
        rows = rows & (category >= 0)
        cell = row[rows] * k + category[rows]
        return np.bincount(cell, weights=weights[rows], minlength=n * k).reshape(n, k).astype(np.float64)

    still = np.exp(-(age + 0.5) / TIRED_DAYS)  # half a day on: the middle of the day that is planned
    user["felt"] = np.log1p(np.bincount(row[~is_open], weights=still[~is_open], minlength=n))
    opened, sent = each(is_open, weight), each(~is_open, weight)
    pair["category_response"] = np.log((opened / own[:, None] + PUSHES) / (sent + PUSHES))
    pair["category_felt"] = np.log1p(each(~is_open, still))


def _lift(counts: Floats, shares: Floats, strength: float) -> Floats:
    """Return the log of each person's share of a category over the population's, shrunk."""
    total = counts.sum(axis=1, keepdims=True)
    return np.asarray(np.log((counts + strength * shares) / ((total + strength) * shares)))


def _codes(column: pa.ChunkedArray, names: Sequence[str]) -> Ints:
    codes = pc.index_in(column, value_set=pa.array(list(names), pa.string()))
    return np.asarray(pc.fill_null(codes, -1).to_numpy(), dtype=np.int64)
