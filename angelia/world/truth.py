"""The truth of an answer: how probably this person opens this material at this UTC hour.

    p = delivery x channel x see x click
    see = 1 - exp(-attention over the next hours)
    click = logistic(taste, category hours, fatigue, ...)

Deliberately of no estimator's form: material and hour do not separate (categories have hours of their own, to
which people are sensitive in different degrees), attention is only partly the activity one can observe,
tastes and activity drift, weeks and days have noise, liked categories tire less, nights tire more.
docs/WORLD.md has the formula. Public for benchmarks: `World`, `World.load`, `open_probability`,
`felt_pushes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from angelia.contracts import ids
from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.world import draws
from angelia.world.clock import local
from angelia.world.draws import Bools, Floats, Ints, Keys
from angelia.world.parameters import parameters, parameters_sha256
from angelia.world.population import People, people, population_size, user_index


@dataclass(frozen=True)
class World:
    """The inputs of the truth; the meta of every user_profiles commit holds them."""

    seed: int
    users: int
    anchor_day: int

    def people(self, index: npt.ArrayLike) -> People:
        """Return the people with these user numbers, shape (n,)."""
        return people(
            np.asarray(index, dtype=np.int64), seed=self.seed, users=self.users, anchor_day=self.anchor_day
        )

    def people_of(self, user_ids: list[str]) -> People:
        """Return the people with these ids.

        Raises:
            InvalidInput: an id is none of this world's.
        """
        index = user_index(user_ids)
        if (index < 0).any():
            raise InvalidInput(
                "a user id does not belong to the simulated world",
                fix="ask only about people of `angelia world create`",
            )
        return self.people(index)

    def size(self, day: int) -> int:
        """Return the number of people by the end of a day."""
        return population_size(self.users, self.anchor_day, day)

    def meta(self) -> dict[str, Any]:
        """Return what `World.load` needs, for a commit's meta."""
        return {
            "world": {
                "seed": self.seed,
                "users": self.users,
                "anchor_day": self.anchor_day,
                "parameters_sha256": parameters_sha256(),
            }
        }

    @classmethod
    def load(cls, lake: Lake, ds: str) -> World:
        """Return the world whose people are in user_profiles of `ds`.

        Raises:
            InvalidInput: the profiles are not a world's, or of one with other parameters.
        """
        facts = lake.require("user_profiles", ds=ds).meta.get("world")
        if not facts:
            raise InvalidInput(
                f"user_profiles ds={ds} was not written by a simulated world",
                fix="only `angelia world create` data can be answered",
            )
        if facts["parameters_sha256"] != parameters_sha256():
            raise InvalidInput(
                f"user_profiles ds={ds} was made with other world parameters",
                fix="run `angelia world create` again",
            )
        return cls(int(facts["seed"]), int(facts["users"]), int(facts["anchor_day"]))


class Materials(NamedTuple):
    """The truth about materials, (m,).

    Attributes:
        category: its code, -1 = none of the world's. appeal: in logit units.
    """

    category: Ints
    appeal: Floats


@lru_cache(maxsize=64)
def _materials(names: tuple[str, ...]) -> Materials:
    given = parameters()
    home = {name: campaign for campaign, group in given.materials().items() for name in group}
    category, appeal = np.full(len(names), -1, dtype=np.int64), np.zeros(len(names))
    for row, name in enumerate(names):
        campaign, word = home.get(name), name.rsplit("_", 1)[-1]
        if word in given.categories:
            category[row] = given.categories.index(word)
            appeal[row] = given.response.category[int(category[row])]
        if campaign:
            appeal[row] += given.campaigns[campaign].appeal
    appeal += given.response.material_sd * draws.normal(ids.user_keys(names), "material")
    return Materials(category, appeal)


def materials(names: list[str] | tuple[str, ...]) -> Materials:
    """Return the truth about materials by name.

    An operator's own materials get their category from the last word of the name, and an appeal by hash.
    """
    return _materials(tuple(names))


def mood(keys: Keys, day: int) -> Floats:
    """Return the log noise of a user-day, (n,): it moves both activity and attention.

    Weeks begin on Mondays (UTC).
    """
    given = parameters().activity
    week = given.week_noise_sd * draws.normal(keys, "week", str((day + 3) // 7))
    return week + given.day_noise_sd * draws.normal(keys, "day", str(day))


def is_lapsed(person: People, rows: Ints, day: int) -> Bools:
    """Return which of people[rows] are in a stretch without activity, (m,)."""
    stretch = np.floor(day / person.lapse_days[rows] + person.lapse_phase[rows])
    return (
        draws.uniform(draws.counted(person.keys[rows], stretch.astype(np.int64)), "lapse")
        < person.lapse_share[rows]
    )


def taste_on(person: People, day: int) -> Floats:
    """Return tastes of a day, logit, (n, categories): base plus a slow personal wave."""
    wave = np.sin(2.0 * np.pi * (day / person.drift_days + person.drift_phase))
    return np.asarray(person.taste + person.drift_amplitude * wave, dtype=np.float64)


@cache
def _category_tables() -> tuple[Floats, Floats]:
    """Return what categories gain by local hour and by weekday, in logit units.

    Shapes (categories + 1, 24) and (categories + 1, 7); the last row (no category) is zero.
    """
    given, size = parameters().response, len(parameters().categories)
    keys = np.arange(1, size + 1, dtype=np.uint64)
    angle = 2.0 * np.pi * (np.arange(24)[None, :] + 0.5) / 24.0
    first = np.cos(angle - 2.0 * np.pi * draws.uniform(keys, "category hour")[:, None])
    second = np.cos(2.0 * angle - 2.0 * np.pi * draws.uniform(keys, "category half day")[:, None])
    by_hour = given.hour_category_sd * (first + 0.5 * second) / np.sqrt(0.625)
    by_weekday = given.weekday_category_sd * draws.normal(
        draws.counted(keys[:, None], np.arange(7)[None, :]), "category weekday"
    )
    return np.vstack([by_hour, np.zeros((1, 24))]), np.vstack([by_weekday, np.zeros((1, 7))])


def _season(hours: Ints) -> Floats:
    days = hours / 24.0
    wave = np.sin(2.0 * np.pi * days / 9.3 + 1.0) + np.sin(2.0 * np.pi * days / 23.0)
    return np.asarray(parameters().response.season_sd * wave, dtype=np.float64)


def attention(person: People, rows: Ints, hours: Ints) -> Floats:
    """Return the attention of people[rows] (m,) in each hour after a push, (m, see_hours).

    exp(-sum) is the probability that the person does not see it.
    """
    given = parameters().response
    ahead = hours[:, None] + np.arange(given.see_hours)[None, :]
    clock = local(person, rows[:, None], ahead)
    own = person.hours[rows[:, None], clock.is_day_off.astype(np.int64), clock.hour]
    level = 24.0 * (given.own_share * own + (1.0 - given.own_share) * person.habit[rows[:, None], clock.hour])
    scale = np.empty(len(rows))
    days = hours // 24
    for day in np.unique(days):
        here = np.flatnonzero(days == day)
        same_day = rows[here]
        wake = np.where(is_lapsed(person, same_day, int(day)), given.see_lapsed, 1.0)
        scale[here] = wake * np.exp(given.mood_scale * mood(person.keys[same_day], int(day)))
    scale *= (
        given.see_rate
        * (person.sessions[rows] / parameters().activity.median_sessions) ** given.see_activity_power
    )
    return np.asarray(
        scale[:, None] * level * given.see_decay ** np.arange(given.see_hours), dtype=np.float64
    )


def click_probability(
    person: People,
    rows: Ints,
    category: Ints,
    appeal: Floats,
    hours: Ints,
    felt: Floats | float,
    felt_category: Floats | float,
) -> Floats:
    """Return the probability that people[rows] open a push they have seen; all arguments (m,)."""
    given = parameters().response
    by_hour, by_weekday = _category_tables()
    clock = local(person, rows, hours)
    known = category >= 0
    column = np.where(known, category, 0)
    wave = np.sin(
        2.0 * np.pi * (hours / 24.0 / person.drift_days[rows, column] + person.drift_phase[rows, column])
    )
    liking = np.where(known, person.taste[rows, column] + person.drift_amplitude[rows, column] * wave, 0.0)
    logit = given.intercept + appeal + person.appeal[rows] + liking + _season(hours)
    logit += (
        person.hour_sensitivity[rows] * by_hour[category, clock.hour] + by_weekday[category, clock.weekday]
    )
    tired = np.log1p(felt) + given.fatigue_category * np.log1p(felt_category)
    night = 1.0 + given.fatigue_hour * np.cos(2.0 * np.pi * (clock.hour - 3.0) / 24.0)
    logit -= person.fatigue_scale[rows] * tired * night * (1.0 - given.fatigue_taste_relief * np.tanh(liking))
    return np.asarray(1.0 / (1.0 + np.exp(-logit)), dtype=np.float64)


def delivery_probability() -> float:
    """Return the probability that an accepted push reaches the phone."""
    given = parameters().response
    return given.delivered_share * (1.0 - given.bounce_share)


def open_probability(
    world: World,
    users: npt.ArrayLike,
    material_ids: list[str],
    hours_utc: npt.ArrayLike,
    *,
    channel: str = "fcm",
    felt: npt.ArrayLike = 0.0,
    felt_category: npt.ArrayLike = 0.0,
    material: npt.ArrayLike | None = None,
) -> Floats:
    """Return the true probability that an accepted push is opened within a day.

    Args:
        users: user numbers, int (n,), or anything that broadcasts, e.g. (n, 1, 1) for a grid.
        material_ids: names, (k,); with `material=None` there is one name, or one per entry of the last axis.
        hours_utc: int64 hours since 1970, broadcast with `users`.
        channel: channel it goes through.
        felt: pushes still felt at that hour (`felt_pushes`), broadcast.
        felt_category: those of the same category.
        material: positions in `material_ids`, broadcast with `users`; None as above.

    Returns:
        float64 of the broadcast shape.
    """
    if channel not in parameters().response.channel:
        raise InvalidInput(f"the world has no channel {channel!r}")
    chosen = np.arange(len(material_ids)) if material is None else np.asarray(material)
    user, which, hour, tired, tired_category = np.broadcast_arrays(
        np.asarray(users, dtype=np.int64), chosen, np.asarray(hours_utc, dtype=np.int64), felt, felt_category
    )
    # A grid names each person many times; each is made once.
    numbers, rows = np.unique(user.ravel(), return_inverse=True)
    person = world.people(numbers)
    facts = materials(material_ids)
    rows, flat, hours = rows.ravel(), which.ravel(), hour.ravel()
    see = -np.expm1(-attention(person, rows, hours).sum(axis=1))
    click = click_probability(
        person, rows, facts.category[flat], facts.appeal[flat], hours, tired.ravel(), tired_category.ravel()
    )
    given = parameters().response
    chance = delivery_probability() * np.minimum(given.channel[channel] * see * click, given.max_probability)
    return np.asarray(chance.reshape(user.shape), dtype=np.float64)


def felt_pushes(person: People, rows: Ints, hours: Ints | Floats, category: Ints) -> tuple[Floats, Floats]:
    """Return how strongly earlier pushes, and those of its category, are felt at a push.

    Both (m,) are the sum of exp(-age / time constant) just before the push.

    Args:
        rows: whose push, (m,).
        hours: when, UTC hours since 1970 (fractions allowed), (m,).
        category: of what, (m,).
    """
    when = np.asarray(hours, dtype=np.float64)
    # An operator's own material may have no category of the world's (-1), which is one of its own here.
    code = category - category.min(initial=0)
    felt = _felt_before(person, rows, when, rows)
    return felt, _felt_before(person, rows, when, rows * (int(code.max(initial=0)) + 1) + code)


def _felt_before(person: People, rows: Ints, hours: Floats, group: Ints) -> Floats:
    """Return the sum of exp(-age / time constant) over earlier pushes of the same group, (m,)."""
    first, last = hours.min(initial=np.inf), hours.max(initial=-np.inf)
    # One sort of one number a push: a group's pushes lie together, the earliest first.
    order = np.argsort(group * (last - first + 1.0) + (hours - first), kind="stable")
    of, when = group[order], hours[order]
    gap = np.diff(when, prepend=when[:1]) / (24.0 * person.fatigue_days[rows[order]])
    starts = np.r_[0, np.flatnonzero(np.diff(of)) + 1] if len(of) else np.zeros(0, dtype=np.int64)
    size = np.diff(np.r_[starts, len(of)])
    felt, left = np.zeros(len(of)), np.exp(-gap)
    # What the push before it felt, and that push itself, both faded: one step for all groups at a time.
    for back in range(1, int(size.max(initial=0))):
        now = starts[size > back] + back
        felt[now] = (felt[now - 1] + 1.0) * left[now]
    whole = np.empty(len(of))
    whole[order] = felt
    return whole
