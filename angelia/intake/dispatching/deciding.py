"""Who of a batch is sent what: campaign, consent, holdouts, quiet hours, address, material.

Grain: message. Pure but for its arguments; reads and writes nothing. The rules are those of the night's plan;
what differs is that the hour is now. Surprise: a message that may not go now for its hour alone comes back
when the hour is over; every other refusal is final, under a reason.
"""

from __future__ import annotations

import json
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Protocol

from angelia.catalog.documents import Campaign, Template
from angelia.catalog.snapshot import Catalog
from angelia.contracts.ids import (
    INTAKE_OCCURRENCE,
    direct_template,
    dispatch_id,
    message_id,
    uniform,
    user_keys,
)
from angelia.contracts.outcomes import (
    DEVICE_QUOTA,
    HOLDOUT_CAMPAIGN,
    HOLDOUT_GLOBAL,
    NO_MATERIAL,
    OPTED_OUT,
    SUPPRESSED,
    UNREACHABLE,
)
from angelia.contracts.sending import ALL, Micros
from angelia.delivery.sending.windows import quiet_now
from angelia.intake.codes import MARK
from angelia.intake.dispatching.direct import OTHER_CLASS, why_no_campaign
from angelia.intake.dispatching.people import Chances, Contents, Person
from angelia.intake.people.addressed import is_stranger
from angelia.intake.store import Row
from angelia.intake.tables import PRIORITIES
from angelia.matching import assign_arms, buckets
from angelia.templates.rendering import field_values
from angelia.timing.closing import has_left_by
from angelia.timing.own_hours import Span, joined

HOUR_US = 3_600_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Reasons beside the plan's words, in the order in which they are asked.
UNKNOWN_CAMPAIGN, NOT_RUNNING, VARIABLE_MISSING = (
    "unknown_campaign", "campaign_not_running", "variable_missing",
)  # fmt: skip
UNKNOWN_PERSON, NOT_PLAIN, QUIET_HOURS, SEND_WINDOW = (
    "unknown_person", "variables_not_plain", "quiet_hours", "send_window",
)  # fmt: skip
EXPIRED, NO_CODE, UNKNOWN_ADDRESS = "expired", "no_code_in_template", "unknown_address"
# Beside the columns of a message that names an address: where it goes, and why it may not.
TO_ADDRESS, WHY_CLOSED = "to_address", "why_closed"


NO_CHANCES = Chances()


class HasRoom(Protocol):
    """What devices had today, by person, channel and class of messages."""

    def has_room(self, user: str, channel: str, kind: str) -> bool:
        """Say whether another one may go."""

    def take(self, user: str, channel: str, kind: str) -> None:
        """Count one."""


@dataclass(frozen=True)
class Chosen:
    """A message that may be sent: its manifest row, and whether caps hold for it."""

    message: Row
    row: dict[str, Any]
    is_marketing: bool
    deadline: Micros
    vendor: str | None
    others: tuple[str, ...] = ()  # addresses of the person's other devices, if it goes to all


@dataclass
class Verdicts:
    """What was decided of a batch."""

    chosen: list[Chosen] = field(default_factory=list)
    refused: list[tuple[Row, str]] = field(default_factory=list)
    postponed: list[tuple[Row, Micros, str]] = field(default_factory=list)


def decide(
    contents: Contents,
    people: Mapping[str, Person],
    addresses: Mapping[tuple[str, str], Sequence[str]],
    rows: Sequence[Row],
    now: Micros,
    chances: Chances = NO_CHANCES,
    day: HasRoom | None = None,
) -> Verdicts:
    """Return the verdict on each message of a batch; caps are asked afterwards.

    Args:
        addresses: of each person and channel, newest first.
        day: whether a device takes another message of a class; None = it does.
        chances: what the night thinks of materials, for campaigns that events set off.
    """
    verdicts, catalog = Verdicts(), contents.catalog
    held_out = _held_out(catalog, rows)
    for row in rows:
        campaign = catalog.campaigns.get(row["campaign_id"])
        person = people.get(row["user_id"])
        reason = _refusal(campaign, person, row, now) or held_out.get((row["campaign_id"], row["user_id"]))
        if reason == UNKNOWN_CAMPAIGN:
            reason = why_no_campaign(catalog, row["campaign_id"]) or reason
        if reason is not None:
            verdicts.refused.append((row, reason))
            continue
        assert campaign is not None
        assert person is not None
        deadline = deadline_of(row, campaign)
        # What may never be sent is refused above, so only what can still be sent waits for an hour.
        closed = _closed_until(catalog, campaign, person, now)
        if closed is not None:
            until, why = closed
            if until < deadline:
                verdicts.postponed.append((row, until, why))
            else:
                verdicts.refused.append((row, why))
            continue
        made = _row(contents, campaign, person, addresses, row, now, deadline, chances, day)
        if isinstance(made, str):
            verdicts.refused.append((row, made))
        else:
            is_marketing = not campaign.is_transactional
            to_all = campaign.devices == ALL and not row.get(TO_ADDRESS)
            others = tuple(addresses[row["user_id"], made["channel"]][1:]) if to_all else ()
            if day is not None:
                day.take(row["user_id"], made["channel"], campaign.wire_class)
            chosen = Chosen(row, made, is_marketing, deadline, person["device_vendor"], others)
            verdicts.chosen.append(chosen)
    return verdicts


def deadline_of(row: Row, campaign: Campaign) -> Micros:
    """Return the instant after which a message is not sent any more."""
    last = int(row["send_us"]) + campaign.ttl_hours * HOUR_US
    return min(last, row["expires_us"]) if row["expires_us"] else last


def is_code(row: Row) -> bool:
    """Say whether a message carries a one-time code."""
    return f'"otp:{row["id"]}"' in row["variables"]


def occurrence_of(message: str) -> str:
    """Return the occurrence of an intake's message: each is its own."""
    return f"{INTAKE_OCCURRENCE}{message}"


def _held_out(catalog: Catalog, rows: Sequence[Row]) -> dict[tuple[str, str], str]:
    """Return which holdout a person belongs to, by (campaign, person) of marketing messages.

    All people of a campaign at once: one by one their hashes took 37 µs a message.
    """
    people: dict[str, set[str]] = {}
    for row in rows:
        people.setdefault(row["campaign_id"], set()).add(row["user_id"])
    reasons: dict[tuple[str, str], str] = {}
    holdout = catalog.policy.holdout
    for name, users in people.items():
        campaign = catalog.campaigns.get(name)
        if campaign is None or campaign.is_transactional:
            continue
        keys = user_keys(users)
        in_own = buckets(keys, f"holdout {name}") < campaign.holdout_pct
        in_global = buckets(keys, holdout.salt) < holdout.share_pct
        for user, is_own, is_global in zip(users, in_own, in_global, strict=True):
            if is_global or is_own:
                reasons[name, user] = HOLDOUT_GLOBAL if is_global else HOLDOUT_CAMPAIGN
    return reasons


def _refusal(campaign: Campaign | None, person: Person | None, row: Row, now: Micros) -> str | None:
    """Return why a message is never sent, holdouts aside; None if it may be."""
    if campaign is None:
        return UNKNOWN_CAMPAIGN
    # What exempts from consent and caps is the operator's word in the catalog, never the client's.
    if campaign.is_transactional is not (row["class"] == "transactional"):
        return OTHER_CLASS
    if now >= deadline_of(row, campaign):
        return EXPIRED
    if person is None:
        return UNKNOWN_PERSON
    if not campaign.start_date <= _local(person, now).date() <= campaign.end_date:
        return NOT_RUNNING
    if person["is_suppressed"]:
        return SUPPRESSED
    if row.get(WHY_CLOSED) is not None:
        return str(row[WHY_CLOSED])
    if campaign.is_transactional:
        return None
    if is_stranger(row["user_id"]):
        return UNKNOWN_ADDRESS
    return OPTED_OUT if campaign.topic in (person["opted_out_topics"] or ()) else None


def _closed_until(
    catalog: Catalog, campaign: Campaign, person: Person, now: Micros
) -> tuple[Micros, str] | None:
    """Return until when and why the person's hour is closed to a campaign; None if it is open."""
    until, why = now, ""
    quiet = _quiet(catalog, person)
    # Twice: the window may open in quiet hours, and quiet hours end outside the window.
    for _ in range(2):
        if campaign.send_window is not None:
            opens = _window_opens(person, campaign.send_window.start, campaign.send_window.end, until)
            until, why = (opens, SEND_WINDOW) if opens > until else (until, why)
        if quiet is not None and not campaign.is_transactional:
            is_quiet, ends = quiet_now(person["timezone"], *quiet, until)
            until, why = (ends, QUIET_HOURS) if is_quiet else (until, why)
    return (until, why) if until > now else None


def _quiet(catalog: Catalog, person: Person) -> Span | None:
    """Return a person's quiet hours: everybody's, joined with their own."""
    policy, start, end = catalog.policy.quiet_hours, person.get("quiet_start"), person.get("quiet_end")
    own = None if start is None or end is None else (start, end)
    return joined(None if policy is None else (policy.start, policy.end), own)


def _window_opens(person: Person, start: int, end: int, at: Micros) -> Micros:
    """Return the instant from `at` on at which a window of local hours is open."""
    local = _local(person, at)
    if start <= local.hour < end:
        return at
    day = local.date() if local.hour < start else local.date() + timedelta(days=1)
    opens = datetime(day.year, day.month, day.day, start, tzinfo=local.tzinfo)
    return int(opens.timestamp() * 1e6)


def _local(person: Person, at: Micros) -> datetime:
    return _local_time(person["timezone"], at)


@lru_cache(maxsize=1_024)  # a batch is decided for one instant, and its people share some time zones
def _local_time(timezone: str, at: Micros) -> datetime:
    return datetime.fromtimestamp(at / 1e6, UTC).astimezone(_zone(timezone))


def _zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return zoneinfo.ZoneInfo("UTC")


def _row(
    contents: Contents,
    campaign: Campaign,
    person: Person,
    addresses: Mapping[tuple[str, str], Sequence[str]],
    row: Row,
    now: Micros,
    deadline: Micros,
    chances: Chances,
    day: HasRoom | None,
) -> dict[str, Any] | str:
    """Return the manifest row of a message, or why there is none."""
    user, catalog = row["user_id"], contents.catalog
    given = json.loads(row["variables"])
    if any(isinstance(value, bool) or not isinstance(value, str | int | float) for value in given.values()):
        return NOT_PLAIN
    # The mark of a one-time code is its own message's, and means nothing in another.
    if any(
        isinstance(value, str) and MARK.search(value) and value != f"otp:{row['id']}"
        for value in given.values()
    ):
        return NOT_PLAIN
    scored = chances.scores.get((person["ordinal"], campaign.id), {}) if campaign.trigger else {}
    materials = _materials(catalog, campaign, person, _local(person, now).date(), scored)
    if not materials:
        return NO_MATERIAL
    occurrence = occurrence_of(row["id"])
    drawn = 0.0
    if len(materials) > 1:
        drawn = float(uniform(user_keys([user]), catalog.policy.salt, "intake", campaign.id, occurrence)[0])
    name, propensity = chances.draw(materials, scored, drawn, catalog.policy.explore.epsilon)
    template, version, body, fields = contents.of(name)
    reached = _channels(catalog, campaign, template, addresses, person, row)
    if not reached:
        return UNREACHABLE
    kind = campaign.wire_class
    channel = next((name for name in reached if day is None or day.has_room(user, name, kind)), None)
    if channel is None:
        return DEVICE_QUOTA
    if is_code(row) and "code" not in template.variables:
        return NO_CODE
    values = field_values(body, fields, campaign.id, person)
    # A client's variables stand before the material's, for the template's own names only.
    values |= {name: value for name, value in given.items() if name in template.variables}
    # No operator filled such a template in, so what its client leaves out nobody gives.
    if direct_template(campaign.id) is not None and not values.keys() >= template.variables.keys():
        return VARIABLE_MISSING
    message = message_id(campaign.id, user, occurrence)
    address = row.get(TO_ADDRESS) or addresses[user, channel][0]
    is_transactional = campaign.is_transactional
    quiet = (None if is_transactional else _quiet(catalog, person)) or (None, None)
    closes = deadline
    if not is_transactional:
        closes = min(deadline, _has_left_by(campaign, catalog.materials[name].valid_until, person, now))
    return {
        "dispatch_id": dispatch_id(message, channel, address),
        "message_id": message,
        "user_id": user,
        "ordinal": person["ordinal"],
        "campaign_id": campaign.id,
        "occurrence": occurrence,
        "material_id": name,
        "topic": campaign.topic,
        "channel": channel,
        "address": address,
        "template_id": template.id,
        "template_version": version,
        "fields": json.dumps(values, sort_keys=True, ensure_ascii=False),
        "locale": person["locale"],
        "priority": PRIORITIES[row["priority"]],
        "guarantee": campaign.guarantee,
        "send_ts": now,
        "not_before": now,
        "not_after": closes,
        "timezone": person["timezone"],
        "quiet_start": quiet[0],
        "quiet_end": quiet[1],
        "collapse_key": campaign.id,
        "ttl_s": max(1, (deadline - now) // 1_000_000),
        "material_propensity": propensity,
        "slot_propensity": None,
    }


def _has_left_by(campaign: Campaign, valid_until: date | None, person: Person, now: Micros) -> Micros:
    """Return when a marketing message has to have left: within its window and days."""
    end = campaign.send_window.end if campaign.send_window else None
    last, at = min(campaign.end_date, valid_until or date.max), _EPOCH + timedelta(microseconds=now)
    ends = has_left_by(_zone(person["timezone"]).key, at, campaign.ttl_hours, end, last)
    return (ends - _EPOCH) // timedelta(microseconds=1)


def _materials(
    catalog: Catalog, campaign: Campaign, person: Person, day: date, scored: Mapping[str, float]
) -> list[str]:
    """Return the materials that a person may be shown: of their arm, language and day.

    Materials with an audience of their own are the night's: nobody evaluates audiences here, and who is in
    one is known by the score alone.
    """
    names = campaign.materials
    if campaign.experiment:
        experiment = catalog.experiments[campaign.experiment]
        shares = [arm.share_pct for arm in experiment.arms]
        arm = experiment.arms[int(assign_arms(user_keys([person["user_id"]]), experiment.salt, shares)[0])]
        names = arm.materials or names
    return [
        name
        for name in names
        if (material := catalog.materials[name]).is_valid_on(day)
        and (material.locales is None or person["locale"] in material.locales)
        and (material.audience is None or name in scored)
    ]


def _channels(
    catalog: Catalog,
    campaign: Campaign,
    template: Template,
    addresses: Mapping[tuple[str, str], Sequence[str]],
    person: Person,
    row: Row,
) -> list[str]:
    """Return the client's or the campaign's channels that reach the person, in their order."""
    wanted = row["channels"].split(",") if row["channels"] else campaign.channels
    # An address that the client names need not be the newest, but the person must take the channel.
    named = row.get(TO_ADDRESS)
    return [
        str(name)
        for name in wanted
        if (channel := catalog.channels.get(name)) is not None
        and channel.enabled
        and channel.quota_per_minute
        and name in template.channels
        and (name in person["channels"] if named else (row["user_id"], name) in addresses)
    ]
