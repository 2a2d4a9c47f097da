"""Who lives in the world: profiles, latent truth, addresses and refusals. Grain: user.

Everything is a pure function of (seed, parameters, user number), so no file holds the truth: `respond` and
benchmarks derive it again. User `index` i is `u0000i` (seven digits or more).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from angelia.world import draws
from angelia.world.draws import Bools, Floats, Ints, Keys
from angelia.world.parameters import Bumps, Parameters, parameters

Floats32 = npt.NDArray[np.float32]
_ID = re.compile(r"u[0-9]{7,9}")
_SHIFT_STEP = 0.25
_SHIFT_LIMIT = 4.0
CHANNELS = ("fcm", "apns", "sms", "email")
NEVER = np.iinfo(np.int64).max


def user_id(index: int) -> str:
    """Return the id of a user number."""
    return f"u{index:07d}"


def user_index(user_ids: list[str]) -> Ints:
    """Return the numbers of world users, shape (n,); -1 for ids of no world user."""
    return np.array([int(user[1:]) if _ID.fullmatch(user) else -1 for user in user_ids], dtype=np.int64)


@dataclass(frozen=True)
class People:
    """Latent truth and observable facts of n users; codes index the lists in the parameters.

    Attributes:
        index: user numbers (n,). keys: their draw keys (n,).
        country, timezone, province, vendor, locale: codes (n,); province, vendor and locale index the
        country's own lists. has_app, is_ios, has_sms, has_email, has_second_device: reachability (n,).
        signup_day: days since 1970 (n,). days_off: (n, 7), Monday first. hours: activity over local hours,
        (n, 2, 24), [workday, day off], each row sums to 1. habit: hours of reading pushes that activity does
        not show, (n, 24), rows sum to 1. sessions: mean sessions a day while active (n,). trend, trend_phase:
        slow wave of log activity (n,). lapse_share, lapse_days, lapse_phase: stretches without activity (n,).
        taste: (n, categories), logit. drift_amplitude, drift_days, drift_phase: its slow turn, same shape.
        tags: categories in the person's profile, a noisy view of taste, (n, categories). appeal: logit (n,).
        hour_sensitivity (n,). fatigue_days, fatigue_scale (n,). purchase_factor (n,), value_level (n,).
    """

    index: Ints
    keys: Keys
    country: Ints
    timezone: Ints
    province: Ints
    vendor: Ints
    locale: Ints
    has_app: Bools
    is_ios: Bools
    has_second_device: Bools
    has_sms: Bools
    has_email: Bools
    signup_day: Ints
    birth_year: Ints
    gender: Ints
    days_off: Bools
    hours: Floats32
    habit: Floats32
    sessions: Floats
    trend: Floats
    trend_phase: Floats
    lapse_share: Floats
    lapse_days: Floats
    lapse_phase: Floats
    taste: Floats
    tags: Bools
    drift_amplitude: Floats
    drift_days: Floats
    drift_phase: Floats
    appeal: Floats
    hour_sensitivity: Floats
    fatigue_days: Floats
    fatigue_scale: Floats
    purchase_factor: Floats
    value_level: Floats

    def __len__(self) -> int:
        return len(self.index)


def people(index: Ints, *, seed: int, users: int, anchor_day: int) -> People:
    """Return the people with these numbers.

    Args:
        index: user numbers, int64 (n,); those >= `users` signed up after the anchor.
        seed: the world's seed.
        users: population at the anchor.
        anchor_day: last day of `world create`, days since 1970.
    """
    given = parameters()
    keys = draws.user_keys(index, seed)
    n = len(index)
    country = draws.pick(draws.uniform(keys, "country"), np.array([c.share for c in given.countries]))
    timezone, province, vendor, locale = (np.zeros(n, dtype=np.int64) for _ in range(4))
    is_ios = np.zeros(n, dtype=bool)
    # What a country decides is drawn country by country, from its own lists.
    for code, facts in enumerate(given.countries):
        rows = np.flatnonzero(country == code)
        here = keys[rows]
        zones = np.array([given.timezones.index(zone) for zone in facts.timezones], dtype=np.int64)
        timezone[rows] = zones[
            draws.pick(draws.uniform(here, "timezone"), np.array(list(facts.timezones.values())))
        ]
        province[rows] = draws.pick(draws.uniform(here, "province"), np.array(list(facts.provinces.values())))
        vendor[rows] = draws.pick(draws.uniform(here, "vendor"), np.array(list(facts.vendors.values())))
        locale[rows] = draws.pick(draws.uniform(here, "locale"), np.array(list(facts.locales.values())))
        is_ios[rows] = vendor[rows] == list(facts.vendors).index("apple")
    reach, activity, response = given.reach, given.activity, given.response
    # tanh keeps the ages of a heavy-tailed normal within a human life.
    birth_year = (
        1996 - 17 * np.tanh(draws.normal(keys, "age") * 0.6) - draws.between(keys, -8, 22, "age spread")
    ).astype(np.int64)
    gender = draws.pick(draws.uniform(keys, "gender"), np.array([0.50, 0.44, 0.02, 0.04]))
    has_app = draws.uniform(keys, "app") < reach.app_share
    hours, habit, days_off = _hours(keys, given)
    taste, amplitude, drift_days, phase = _taste(keys, gender, birth_year, given)
    return People(
        index=index,
        keys=keys,
        country=country,
        timezone=timezone,
        province=province,
        vendor=vendor,
        locale=locale,
        has_app=has_app,
        is_ios=is_ios,
        has_second_device=has_app & (draws.uniform(keys, "second device") < reach.second_device_share),
        has_sms=draws.uniform(keys, "sms") < reach.sms_share,
        has_email=draws.uniform(keys, "email") < reach.email_share,
        signup_day=_signup(index, keys, users, anchor_day, given),
        birth_year=birth_year,
        gender=gender,
        days_off=days_off,
        hours=hours,
        habit=habit,
        sessions=activity.median_sessions * np.exp(activity.sigma * draws.normal(keys, "sessions")),
        trend=activity.trend_sd * np.abs(draws.normal(keys, "trend")),
        trend_phase=draws.uniform(keys, "trend phase"),
        lapse_share=draws.between(keys, *activity.lapse_share, "lapse share"),
        lapse_days=draws.between(keys, *activity.lapse_days, "lapse days"),
        lapse_phase=draws.uniform(keys, "lapse phase"),
        taste=taste,
        tags=_tags(keys, taste, given),
        drift_amplitude=amplitude,
        drift_days=drift_days,
        drift_phase=phase,
        appeal=response.user_sd * draws.normal(keys, "appeal"),
        hour_sensitivity=np.exp(response.hour_sensitivity_sd * draws.normal(keys, "hour sensitivity")),
        fatigue_days=np.exp(draws.between(keys, *np.log(response.fatigue_days), "fatigue days")),
        fatigue_scale=response.fatigue_scale * np.exp(response.fatigue_sigma * draws.normal(keys, "fatigue")),
        purchase_factor=np.exp(
            activity.purchase_sigma * draws.normal(keys, "purchase") - activity.purchase_sigma**2 / 2
        ),
        value_level=draws.normal(keys, "value level"),
    )


def population_size(users: int, anchor_day: int, day: int) -> int:
    """Return how many people have signed up by the end of a day.

    A few more sign up on every day after the anchor.
    """
    return users + max(0, day - anchor_day) * _new_per_day(users)


def _new_per_day(users: int) -> int:
    return max(1, round(users * parameters().reach.new_users_per_day))


def _signup(index: Ints, keys: Keys, users: int, anchor_day: int, given: Parameters) -> Ints:
    u = draws.uniform(keys, "signup")
    recent = given.reach.newcomer_share
    # A short tail of newcomers, the rest up to six years back, denser towards today.
    age = np.where(
        u < recent, 28 * u / recent, 28 + 2160 * np.maximum((u - recent) / (1 - recent), 0.0) ** 1.7
    ).astype(np.int64)
    later = anchor_day + 1 + (index - users) // _new_per_day(users)
    return np.where(index < users, anchor_day - age, later)


def bump_curve(bumps: Bumps, shift: float = 0.0) -> Floats:
    """Return 24 weights that sum to 1: bumps wrapped around midnight.

    A bump is [local hour, spread, weight]; it is evaluated at half past each hour.
    """
    at = np.arange(24) + 0.5
    curve = np.zeros(24)
    for centre, spread, weight in bumps:
        distance = (at - centre - shift + 12.0) % 24.0 - 12.0
        bump = np.exp(-0.5 * (distance / spread) ** 2)
        curve += weight * bump / bump.sum()
    return np.asarray(curve / curve.sum(), dtype=np.float64)


@cache
def _archetype_tables() -> Floats32:
    """Return curves by shift step, archetype and kind of day: (shifts, archetypes, 2, 24)."""
    hours = parameters().hours
    shifts = np.arange(-_SHIFT_LIMIT, _SHIFT_LIMIT + _SHIFT_STEP / 2, _SHIFT_STEP)
    tables = [
        [[bump_curve(a.workday, s), bump_curve(a.day_off, s)] for a in hours.archetypes.values()]
        for s in shifts
    ]
    return np.array(tables, dtype=np.float32)


def _shift_step(shift: Floats) -> Ints:
    return np.rint((np.clip(shift, -_SHIFT_LIMIT, _SHIFT_LIMIT) + _SHIFT_LIMIT) / _SHIFT_STEP).astype(
        np.int64
    )


def _hours(keys: Keys, given: Parameters) -> tuple[Floats32, Floats32, Bools]:
    hours = given.hours
    shares = np.array([a.share for a in hours.archetypes.values()])
    kinds = len(shares)
    tables = _archetype_tables()
    rest = (
        np.stack(
            [-np.log1p(-draws.uniform(draws.counted(keys, k), "archetype rest")) for k in range(kinds)],
            axis=1,
        )
        * shares
    )
    weights = (1.0 - hours.main_weight) * rest / rest.sum(axis=1, keepdims=True)
    weights[np.arange(len(keys)), draws.pick(draws.uniform(keys, "archetype"), shares)] += hours.main_weight
    shift = hours.chronotype_sd_h * draws.normal(keys, "chronotype")
    own = np.einsum("na,nadh->ndh", weights.astype(np.float32), tables[_shift_step(shift)])
    broad = draws.between(keys, *hours.broad_share, "broad").astype(np.float32)[:, None, None]
    profile = (1.0 - broad) * own + broad * bump_curve(hours.broad).astype(np.float32)
    habit_kind = draws.pick(draws.uniform(keys, "habit"), shares)
    habit = tables[_shift_step(1.5 * draws.normal(keys, "habit shift")), habit_kind, 0]
    odd = draws.uniform(keys, "odd week") < hours.odd_week_share
    first_off = np.where(odd, (draws.uniform(keys, "odd day") * 7).astype(np.int64), 5)
    days_off = np.zeros((len(keys), 7), dtype=bool)
    days_off[np.arange(len(keys)), first_off] = True
    days_off[np.arange(len(keys)), (first_off + 1) % 7] = True
    return profile.astype(np.float32), habit.astype(np.float32), days_off


def _taste(
    keys: Keys, gender: Ints, birth_year: Ints, given: Parameters
) -> tuple[Floats, Floats, Floats, Floats]:
    taste, categories = given.taste, len(given.categories)
    columns = draws.counted(keys[:, None], np.arange(categories)[None, :])
    factors = np.stack(
        [draws.normal(draws.counted(keys, k), "taste factor") for k in range(taste.factors)], axis=1
    )
    loading_keys = draws.counted(
        np.arange(taste.factors, dtype=np.uint64)[:, None], np.arange(categories)[None, :] + 1
    )
    loadings = draws.normal(loading_keys, "taste loading") / np.sqrt(taste.factors)
    # Two observable leanings, so that demographics carry some signal: by gender, and by age (in the same
    # units as the factors).
    lean = np.where(gender == 0, 1.0, np.where(gender == 1, -1.0, 0.0))[:, None] * draws.normal(
        loading_keys[0], "gender loading"
    )
    lean += ((1985 - birth_year) / 15.0)[:, None] * draws.normal(loading_keys[0], "age loading")
    liking = taste.factor_sd * (factors @ loadings + 0.5 * lean) + taste.own_sd * draws.normal(
        columns, "own taste"
    )
    amplitude = taste.drift_sd * np.abs(draws.normal(columns, "drift"))
    period = draws.between(columns, *taste.drift_days, "drift days")
    return liking, amplitude, period, draws.uniform(columns, "drift phase")


def _tags(keys: Keys, taste: Floats, given: Parameters) -> Bools:
    noise = draws.normal(draws.counted(keys[:, None], np.arange(taste.shape[1])[None, :]), "tag noise")
    return np.asarray(taste + given.taste.tag_noise_sd * noise > given.taste.tag_cut)


@dataclass(frozen=True)
class Contact:
    """Addresses and refusals of n people.

    Attributes:
        has: address known, (n, 4) over CHANNELS. is_active: and the provider still takes it, same shape.
            topic_out_day: day since which a topic is refused, NEVER = not, (n, topics). channel_out_day: the
            same over CHANNELS, (n, 4).
    """

    has: Bools
    is_active: Bools
    topic_out_day: Ints
    channel_out_day: Ints

    def reachable(self, day: int) -> Bools:
        """Return who can be reached through which channel on a day, (n, 4)."""
        return np.asarray(self.is_active & (self.channel_out_day > day))


def topics() -> tuple[str, ...]:
    """Return the topics a person may refuse."""
    return tuple(parameters().reach.opt_out)


def contact(person: People, anchor_day: int) -> Contact:
    """Return reachability and refusals of people."""
    reach = parameters().reach
    has = np.stack(
        [person.has_app & ~person.is_ios, person.has_app & person.is_ios, person.has_sms, person.has_email],
        axis=1,
    )
    dead = (
        draws.uniform(draws.counted(person.keys[:, None], np.arange(4)[None, :]), "inactive")
        < reach.inactive_share
    )
    topic_out = np.stack(
        [_out_day(person, f"topic {name}", share, anchor_day) for name, share in reach.opt_out.items()],
        axis=1,
    )
    channel_out = np.full((len(person), 4), NEVER)
    for name, share in reach.channel_opt_out.items():
        column = CHANNELS.index(name)
        channel_out[:, column] = np.where(
            has[:, column], _out_day(person, f"channel {name}", share, anchor_day), NEVER
        )
    return Contact(has, has & ~dead, topic_out, channel_out)


def _out_day(person: People, layer: str, share: float, anchor_day: int) -> Ints:
    recent = parameters().reach.recent_opt_out_share
    u = draws.uniform(person.keys, layer, "when")
    age = np.where(u < recent, 28.0 * u / recent, 28.0 + 600.0 * (u - recent) / (1.0 - recent)).astype(
        np.int64
    )
    day = np.maximum(anchor_day - age, person.signup_day)
    return np.where(draws.uniform(person.keys, layer) < share, day, NEVER)
