"""Estimate what each person likes from what they looked at, who they are and their tags.

Grain: user x category. Pure functions on arrays; reads and writes nothing. Looks are choices: somebody with
    the likings t looks at category c with chance softmax(log shares + t)[c]. Likings are normal around what
    people of the same facts like, with one covariance for all, so that whoever looks at cameras a lot is
    believed to like games a little more, too, where that holds for people. Few looks move a belief little,
    and no strength has to be chosen. Mean and covariance are learned by EM, each person's likings by Newton's
    method. Source: Aitchison & Shen (1980), Logistic-normal distributions, Biometrika 67; Laplace's
    approximation as in MacKay (1992), Bayesian interpolation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Floats = npt.NDArray[np.float64]

MAX_CATEGORIES = 24  # a person costs the cube of it; rarer categories are judged by the other numbers
MAX_LEARNERS = 20_000  # people that mean and covariance are learned from
ROUNDS, STEPS = 8, 4  # of EM; of Newton's method
BATCH = 2_000  # people at a time, so that their matrices stay in the processor's cache
PRIOR_PEOPLE = 20.0  # pseudo people behind facts without effect, and behind the first covariance
AGE_MEAN, AGE_SPREAD = 35.0, 12.0
# A look counts whole within the window and halves every so many days once it has left it: tastes turn slowly.
LOOKS_HALF_LIFE = 180.0
LOOK_COLUMNS = ["ordinal", "item", "looks", "sent", "opened"]


@dataclass(frozen=True)
class Taste:
    """What is known of everybody's likings, in the order of `categories`.

    Attributes:
        shares: each category's share of all looks, (k,).
        mean: what each fact adds to a liking, (facts, k).
        covariance: of likings among people of the same facts, (k, k).
        genders: values that have a fact of their own.
    """

    categories: tuple[str, ...]
    shares: Floats
    mean: Floats
    covariance: Floats
    genders: tuple[str, ...]

    def of(self, looks: Floats, users: pa.Table) -> Floats:
        """Return the likings of users, (n, k), of mean 0 a person.

        `looks` is (n, k); `users` has their `gender`, `age_years` and `tags`.
        """
        given = facts(users, self.categories, self.genders) @ self.mean
        parts = [
            likings(looks[at : at + BATCH], given[at : at + BATCH], self.shares, self.covariance, STEPS)[0]
            for at in range(0, len(looks), BATCH)
        ]
        liked = np.concatenate([np.zeros((0, len(self.categories))), *parts])
        return np.asarray(liked - liked.mean(axis=1, keepdims=True) if liked.size else liked)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        arrays = {
            name: np.round(getattr(self, name), 6).tolist() for name in ("shares", "mean", "covariance")
        }
        return {"categories": list(self.categories), "genders": list(self.genders), **arrays}

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> Taste:
        """Return what `as_dict` wrote."""
        shares, mean, covariance = (np.array(known[name], float) for name in ("shares", "mean", "covariance"))
        return cls(tuple(known["categories"]), shares, mean, covariance, tuple(known["genders"]))

    @classmethod
    def learn(cls, categories: Sequence[str], looks: Floats, users: pa.Table) -> Taste:
        """Learn from the looks of some people, (n, categories), and the same people's facts."""
        most = np.sort(np.argsort(-looks.sum(axis=0), kind="stable")[:MAX_CATEGORIES])
        names, stride = tuple(categories[c] for c in most.tolist()), max(1, len(looks) // MAX_LEARNERS)
        users = users.take(pa.array(np.arange(0, len(looks), stride)))
        looks = np.asarray(looks[::stride][:, most])
        shares = looks.sum(axis=0) + 1.0
        shares = shares / shares.sum()
        counts = pc.value_counts(users["gender"].drop_null()).to_pylist()
        genders = tuple(sorted(one["values"] for one in counts if one["counts"] >= PRIOR_PEOPLE))
        known, k = facts(users, names, genders), len(names)
        mean: Floats = np.zeros((known.shape[1], k))
        covariance: Floats = 0.3 * np.eye(k)
        within = known.T @ known + PRIOR_PEOPLE * np.eye(known.shape[1])
        for _ in range(ROUNDS if len(looks) else 0):
            liked, precision = likings(looks, known @ mean, shares, covariance, STEPS)
            # Whoever looked at nothing is as uncertain as their like.
            spread = np.linalg.inv(precision).sum(axis=0) + (len(looks) - len(precision)) * covariance
            mean = np.asarray(np.linalg.solve(within, known.T @ liked), np.float64)
            rest = liked - known @ mean
            own = rest.T @ rest + spread + PRIOR_PEOPLE * 0.3 * np.eye(k)
            covariance = own / (len(looks) + PRIOR_PEOPLE)
        return cls(names, shares, mean, covariance, genders)


def likings(
    looks: Floats, given: Floats, shares: Floats, covariance: Floats, steps: int
) -> tuple[Floats, Floats]:
    """Return the likeliest likings, (n, k), and how surely they are known, (a, k, k).

    The latter are the inverses of the posterior covariances of the a people who looked at anything.

    Args:
        looks: (n, k) how often each person looked at each category.
        given: (n, k) what to expect of people of the same facts.
        shares: (k,) of all looks.
        covariance: (k, k) of likings around `given`.
        steps: of Newton's method.
    """
    liked, total, k = given.copy(), looks.sum(axis=1), len(shares)
    inverse, base = np.linalg.inv(covariance), np.log(shares)
    # Whoever looked at nothing keeps to the mean of their like.
    active = np.flatnonzero(total > 0)
    if not len(active):
        return liked, np.empty((0, k, k))
    mine, around, size = looks[active], given[active], total[active, None]
    at = around.copy()
    curved = np.empty((len(active), k, k))
    for _ in range(steps):
        z = base + at
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        slope = mine - size * p - (at - around) @ inverse
        np.multiply(-(size * p)[:, :, None], p[:, None, :], out=curved)
        curved += inverse
        curved[:, np.arange(k), np.arange(k)] += size * p
        at = at + np.clip(np.linalg.solve(curved, slope[:, :, None])[:, :, 0], -2.0, 2.0)
    liked[active] = at
    return liked, curved


def facts(users: pa.Table, categories: Sequence[str], genders: Sequence[str]) -> Floats:
    """Return who people are, (n, facts): 1, gender, age and its square, tags."""
    n = users.num_rows
    age = users["age_years"].cast(pa.float64()).to_numpy(zero_copy_only=False)
    age = np.nan_to_num((age - AGE_MEAN) / AGE_SPREAD)
    gender = pc.fill_null(pc.index_in(users["gender"], value_set=pa.array(list(genders), pa.string())), -1)
    tags = users["tags"].combine_chunks()
    owner = pc.list_parent_indices(tags).to_numpy()
    tag = pc.index_in(pc.list_flatten(tags), value_set=pa.array(list(categories), pa.string()))
    column = np.asarray(pc.fill_null(tag, -1).to_numpy(zero_copy_only=False), np.int64)
    has = np.zeros((n, len(categories)))
    has[owner[column >= 0], column[column >= 0]] = 1.0
    known = np.asarray(gender.to_numpy(zero_copy_only=False), np.int64)
    is_of = known[:, None] == np.arange(len(genders))
    return np.column_stack([np.ones(n), is_of, age, age**2, has]).astype(np.float64)


@dataclass(frozen=True)
class PastLooks:
    """What user_looks keeps of the days up to `day`, in the count of the days that follow it.

    `row`, `item` and `looks` say how many faded hours a user looked at a category, `sent` and `opened` how
    many faded pushes about it they got and opened, all (m,).
    """

    day: int
    row: npt.NDArray[np.int64]
    item: pa.ChunkedArray
    looks: Floats
    sent: Floats
    opened: Floats

    @classmethod
    def of(cls, table: pa.Table, ordinal: npt.NDArray[np.int64], *, day: int) -> PastLooks:
        """Return the rows (`LOOK_COLUMNS`) of the users with these ordinals, which ascend."""
        owner = table["ordinal"].to_numpy().astype(np.int64)
        row = np.minimum(np.searchsorted(ordinal, owner), max(len(ordinal) - 1, 0))
        known = ordinal[row] == owner if len(ordinal) else np.zeros(len(owner), bool)
        # Records of before pushes were kept know none.
        counts = (
            table[name].cast(pa.float64()).fill_null(0.0).to_numpy()[known]
            for name in ("looks", "sent", "opened")
        )
        return cls(day, row[known], table["item"].filter(pa.array(known)), *counts)

    def counts(self, categories: Sequence[str], n: int, of: str = "looks") -> Floats:
        """Return the looks, or what else is counted, of n users by category, (n, categories)."""
        k, column = len(categories), _codes(self.item, categories)
        known = column >= 0
        cell, weights = self.row[known] * k + column[known], getattr(self, of)[known]
        return np.bincount(cell, weights=weights, minlength=n * k).reshape(n, k).astype(np.float64)

    def pushes(self, n: int) -> tuple[Floats, Floats]:
        """Return the pushes that n users got, and those that they opened, (n,) each."""
        sent, opened = (
            np.bincount(self.row, weights=each, minlength=n).astype(np.float64)
            for each in (self.sent, self.opened)
        )
        return sent, opened


def _codes(items: pa.ChunkedArray, categories: Sequence[str]) -> npt.NDArray[np.int64]:
    place = pc.index_in(items, value_set=pa.array(list(categories), pa.string()))
    return np.asarray(pc.fill_null(place, -1).to_numpy(), dtype=np.int64)


def visits(
    days: pa.Table,
    categories: Sequence[str],
    *,
    since: int,
    day: int,
    n: int,
    half_life: float = np.inf,
) -> Floats:
    """Return the hours in which users looked at each category, (n, categories).

    Days (since, day] count, each halved every `half_life` days. A visit of five looks is one choice, not
    five: an hour counts once, whatever was done in it.
    """
    when = days["day"].to_numpy().astype(np.int64)
    column = _codes(days["item"], categories)
    keep, k = (when <= day) & (when > since) & (column >= 0), len(categories)
    cell = days["row"].to_numpy().astype(np.int64)[keep] * k + column[keep]
    own = cell * (day - since) + when[keep] - since - 1
    order = np.argsort(own, kind="stable")
    starts = np.flatnonzero(np.diff(own[order], prepend=-1))
    looks = np.zeros(n * k)
    if len(starts):
        hours = days["hours"].to_numpy().astype(np.int64)[keep][order]
        count = np.bitwise_count(np.bitwise_or.reduceat(hours, starts))
        first = order[starts]
        faded = count * 0.5 ** ((day - when[keep][first]) / half_life)
        looks += np.bincount(cell[first], weights=faded, minlength=n * k)
    return looks.reshape(n, k)
