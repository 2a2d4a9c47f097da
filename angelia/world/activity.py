"""What people do in the app on one day: organic sessions and visits. Grain: event.

A visit is a session that an opened push starts. A session lies within one UTC hour of one day. Numbers of
sessions are Poisson around a rate that varies by person, weekday, day, week, trend and stretch without
activity; hours follow the person's own curve of the kind of day; what they look at follows their taste of
that day.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from angelia.contracts import ids
from angelia.world import draws
from angelia.world.clock import local_day
from angelia.world.draws import Floats, Ints, Keys
from angelia.world.parameters import parameters
from angelia.world.population import People
from angelia.world.truth import is_lapsed, mood, taste_on

EVENT_TYPES = ("open", "view", "cart", "purchase")
OPEN, VIEW, CART, PURCHASE = range(4)
_PER_SESSION = 16  # numbers reserved for the events of one session
_VISITS = 1000  # organic sessions have numbers below (60 sessions x 16), visits from here on
PER_USER_DAY = 2000


@dataclass(frozen=True)
class Events:
    """Events of one day, sorted by user and number; all arrays (m,).

    Attributes:
        row: position of the user among the people given. number: 0..1999, unique within the user's day.
        kind: code in EVENT_TYPES. category: code, -1 = none. value: money, NaN = none. at: seconds since
            1970.
    """

    row: Ints
    number: Ints
    kind: Ints
    category: Ints
    value: Floats
    at: Ints

    def __len__(self) -> int:
        return len(self.row)

    def take(self, rows: Ints) -> Events:
        """Return the events at these positions."""
        return Events(*(getattr(self, field.name)[rows] for field in fields(self)))


def join(parts: list[Events]) -> Events:
    """Return all events of the same people, sorted by user and number."""
    columns = [np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Events)]
    order = np.lexsort((columns[1], columns[0]))
    return Events(*(column[order] for column in columns))


def session_rates(person: People, day: int) -> Floats:
    """Return expected sessions by UTC hour of the day, (n, 24)."""
    given = parameters().activity
    clock = local_day(person, day)
    rows = np.arange(len(person))
    weights = person.hours[rows[:, None], clock.is_day_off.astype(np.int64), clock.hour]
    weights = weights * np.array(given.weekday)[clock.weekday]
    level = person.sessions * np.exp(
        mood(person.keys, day)
        + person.trend * np.sin(2.0 * np.pi * (day / given.trend_days + person.trend_phase))
    )
    level *= np.where(is_lapsed(person, rows, day), given.lapse_rate, 1.0) * (person.signup_day <= day)
    return np.asarray(weights * level[:, None], dtype=np.float64)


def organic_day(person: People, day: int) -> Events:
    """Return what people do of their own accord on a UTC day."""
    given = parameters().activity
    rates = session_rates(person, day)
    salt = str(day)
    # A mean of at most 40 stays within the 60 sessions that a day has event numbers for.
    total = rates.sum(axis=1)
    counts = draws.poisson(draws.uniform(person.keys, "sessions", salt), np.minimum(total, 40.0))
    row = np.repeat(np.arange(len(person)), counts)
    session = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    keys = draws.counted(ids.mix(person.keys[row], "session", salt), session)
    hour = draws.pick(draws.uniform(keys, "hour"), rates[row])
    start = day * 86_400 + hour * 3_600 + (2_700 * draws.uniform(keys, "start")).astype(np.int64)
    liking = np.log(np.array(parameters().category_popularity)) + parameters().taste.choice_scale * taste_on(
        person, day
    )
    interest = draws.pick(draws.uniform(keys, "interest"), np.exp(liking)[row])
    weekday = (day + 3) % 7
    buying = np.minimum(
        given.purchase_share * given.purchase_weekday[weekday] * person.purchase_factor[row], 0.8
    )
    return _sessions(
        person,
        np.exp(liking),
        row,
        session * _PER_SESSION,
        keys,
        start,
        interest,
        buying,
        given.views_mean,
        60.0,
        day,
    )


def visits(person: People, row: Ints, number: Ints, category: Ints, opened_at: Ints, day: int) -> Events:
    """Return what people do after opening pushes on a day.

    Args:
        row: who opened, (m,). number: 0.. within the user's day, (m,). category: of the material, -1 = none.
            opened_at: seconds since 1970.
    """
    activity, response = parameters().activity, parameters().response
    keys = draws.counted(ids.mix(person.keys[row], "visit", str(day)), number)
    liking = np.exp(
        np.log(np.array(parameters().category_popularity))
        + parameters().taste.choice_scale * taste_on(person, day)
    )
    own = draws.pick(draws.uniform(keys, "interest"), liking[row])
    interest = np.where(category >= 0, category, own)
    buying = np.minimum(
        activity.purchase_share * response.visit_purchase_factor * person.purchase_factor[row], 0.8
    )
    numbers = _VISITS + number * _PER_SESSION
    return _sessions(
        person,
        liking,
        row,
        numbers,
        keys,
        opened_at + 1,
        interest,
        buying,
        response.visit_views_mean,
        20.0,
        day,
    )


def _sessions(
    person: People,
    liking: Floats,
    row: Ints,
    number: Ints,
    keys: Keys,
    start: Ints,
    interest: Ints,
    buying: Floats,
    views_mean: float,
    pace: float,
    day: int,
) -> Events:
    """Unfold sessions (m,) into events: open, views, perhaps cart, perhaps purchase.

    Events are at most `pace` seconds apart and never pass the end of the day.
    """
    given = parameters().activity
    views = draws.geometric(draws.uniform(keys, "views"), views_mean, given.view_cap)
    bought = draws.uniform(keys, "purchase") < buying
    carted = bought | (draws.uniform(keys, "cart") < given.cart_share)
    size = 1 + views + carted + bought
    of = np.repeat(np.arange(len(row)), size)
    position = np.arange(len(of)) - np.repeat(np.cumsum(size) - size, size)
    # Positions in a session: 0 opens the app, 1..views look, then perhaps a cart, then perhaps a purchase.
    kind = np.full(len(of), VIEW, dtype=np.int64)
    kind[position == 0] = OPEN
    kind[(position > views[of]) & (position > 0)] = CART
    kind[bought[of] & (position == views[of] + 2)] = PURCHASE
    event_keys = draws.counted(keys[of], position + 1)
    # Most views stay with the session's interest; a quarter wander.
    wandering = (kind == VIEW) & (draws.uniform(event_keys, "wander") < 0.25)
    category = np.where(kind == OPEN, -1, interest[of])
    lost = np.flatnonzero(wandering)
    category[lost] = draws.pick(draws.uniform(event_keys[lost], "elsewhere"), liking[row[of[lost]]])
    value = np.full(len(of), np.nan)
    paid = np.flatnonzero(kind == PURCHASE)
    share = given.value_person_share
    level = np.sqrt(share) * person.value_level[row[of[paid]]] + np.sqrt(1.0 - share) * draws.normal(
        event_keys[paid], "value"
    )
    value[paid] = np.round(np.exp(given.value_log_mean + given.value_log_sd * level), 2)
    step = (pace * (0.3 + 0.7 * draws.uniform(keys, "pace")))[of]
    at = np.minimum(start[of] + (position * step).astype(np.int64), (day + 1) * 86_400 - 1)
    return Events(row[of], number[of] + position, kind, category, value, at)
