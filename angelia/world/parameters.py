"""The frozen parameter file as typed values. Reads parameters.yaml beside this module."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

FILE = Path(__file__).with_name("parameters.yaml")
Range = tuple[float, float]
Bumps = tuple[tuple[float, float, float], ...]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CampaignParameters(_Section):
    """A campaign of the logging policy; its materials are `{campaign}_{category}`."""

    topic: str
    channels: tuple[str, ...]
    who: str
    weight: float
    appeal: float
    categories: tuple[str, ...]


class Country(_Section):
    """A country's share of the population and what its people look like."""

    code: str
    share: float
    locales: dict[str, float]
    vendors: dict[str, float]
    provinces: dict[str, float]
    timezones: dict[str, float]


class Archetype(_Section):
    """A way to spend a day: bumps of activity for workdays and days off."""

    share: float
    workday: Bumps
    day_off: Bumps


class Hours(_Section):
    """When people are active."""

    archetypes: dict[str, Archetype]
    main_weight: float
    chronotype_sd_h: float
    broad_share: Range
    broad: Bumps
    odd_week_share: float


class Activity(_Section):
    """How active people are, and what makes it vary."""

    median_sessions: float
    sigma: float
    day_noise_sd: float
    week_noise_sd: float
    trend_sd: float
    trend_days: float
    lapse_share: Range
    lapse_days: Range
    lapse_rate: float
    weekday: tuple[float, ...]
    views_mean: float
    view_cap: int
    cart_share: float
    purchase_share: float
    purchase_sigma: float
    purchase_weekday: tuple[float, ...]
    value_log_mean: float
    value_log_sd: float
    value_person_share: float


class TasteParameters(_Section):
    """What people like."""

    factors: int
    factor_sd: float
    own_sd: float
    drift_sd: float
    drift_days: Range
    choice_scale: float
    tag_noise_sd: float
    tag_cut: float


class Response(_Section):
    """How people answer a push."""

    intercept: float
    user_sd: float
    material_sd: float
    category: tuple[float, ...]
    see_rate: float
    see_hours: int
    see_decay: float
    see_activity_power: float
    see_lapsed: float
    own_share: float
    hour_category_sd: float
    hour_sensitivity_sd: float
    weekday_category_sd: float
    mood_scale: float
    fatigue_days: Range
    fatigue_scale: float
    fatigue_sigma: float
    fatigue_taste_relief: float
    fatigue_category: float
    fatigue_hour: float
    season_sd: float
    channel: dict[str, float]
    max_probability: float
    delivered_share: float
    bounce_share: float
    unsubscribe_share: float
    machine_open_share: float
    visit_views_mean: float
    visit_purchase_factor: float


class ReachParameters(_Section):
    """By which channels people can be reached, and what they refuse."""

    app_share: float
    second_device_share: float
    inactive_share: float
    sms_share: float
    email_share: float
    opt_out: dict[str, float]
    channel_opt_out: dict[str, float]
    recent_opt_out_share: float
    new_users_per_day: float
    newcomer_share: float


class LoggingPolicy(_Section):
    """The random logging policy of push_history."""

    push_rate: float
    push_rate_sigma: float
    weekly_burst_sigma: float
    allowed_hours: tuple[int, int]
    material_epsilon: float
    material_tag_score: float
    newcomer_days: int
    lapsed_days: int


class Dirt(_Section):
    """Percent of dirty rows by dataset and kind."""

    profiles: dict[str, float]
    endpoints: dict[str, float]
    preferences: dict[str, float]
    events: dict[str, float]
    late_events: float


class Parameters(_Section):
    """Everything in parameters.yaml."""

    version: int
    categories: tuple[str, ...]
    category_popularity: tuple[float, ...]
    campaigns: dict[str, CampaignParameters]
    countries: tuple[Country, ...]
    hours: Hours
    activity: Activity
    taste: TasteParameters
    response: Response
    reach: ReachParameters
    policy: LoggingPolicy
    dirt: Dirt

    @property
    def timezones(self) -> tuple[str, ...]:
        """All timezones, in order of first mention."""
        return tuple(dict.fromkeys(zone for country in self.countries for zone in country.timezones))

    def materials(self) -> dict[str, tuple[str, ...]]:
        """Return the material ids of each campaign."""
        return {
            name: tuple(f"{name}_{category}" for category in campaign.categories)
            for name, campaign in self.campaigns.items()
        }


@cache
def parameters() -> Parameters:
    """Read the parameter file once."""
    return Parameters.model_validate(yaml.safe_load(FILE.read_text(encoding="utf-8")))


@cache
def parameters_sha256() -> str:
    """Return the hash of the parameter file; commits carry it."""
    return hashlib.sha256(FILE.read_bytes()).hexdigest()
