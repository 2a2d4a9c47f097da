"""World facts as rows of the source contracts. Grain: that of each dataset.

One file holds one block of people. Rows may hold what the contracts tolerate from the outside (null ids among
them), so files are written as they are and the gate judges them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts import dataset, ids
from angelia.contracts.core import TIMESTAMP
from angelia.world import draws
from angelia.world.activity import EVENT_TYPES, PER_USER_DAY, Events
from angelia.world.answer import Answers
from angelia.world.clock import day_name
from angelia.world.draws import Ints
from angelia.world.parameters import parameters
from angelia.world.policy import Pushes, names
from angelia.world.population import CHANNELS, NEVER, People, contact, topics, user_id

_GENDERS = ("f", "m", "x", None)


def as_contract(name: str, columns: dict[str, pa.Array]) -> pa.Table:
    """Return columns as a table of the contract: its names, order and types, all nullable.

    Optional ones that the world does not know are left out.
    """
    known = [column for column in dataset(name).columns if column.name in columns or not column.optional]
    schema = pa.schema([pa.field(column.name, column.type) for column in known])
    return pa.table([columns[field.name].cast(field.type) for field in schema], schema=schema)


def user_ids(person: People) -> pa.Array:
    """Return the ids of people, (n,)."""
    return pa.array([user_id(index) for index in person.index.tolist()], pa.string())


def timestamps(seconds: np.ndarray | Ints, known: np.ndarray | None = None) -> pa.Array:
    """Return seconds since 1970 as UTC timestamps; null where `known` is false."""
    micros = np.asarray(seconds, dtype=np.int64) * 1_000_000
    return pa.array(micros, pa.int64(), mask=None if known is None else ~known).cast(TIMESTAMP)


def profiles(person: People, day: int) -> pa.Table:
    """Return user_profiles of people as of a day, clean."""
    given = parameters()
    province, vendor, locale = ([""] * len(person) for _ in range(3))
    # Codes of province, vendor and locale index their country's own lists.
    for code, facts in enumerate(given.countries):
        lists = (list(facts.provinces), list(facts.vendors), list(facts.locales))
        for row in np.flatnonzero(person.country == code).tolist():
            province[row] = lists[0][person.province[row]]
            vendor[row] = lists[1][person.vendor[row]]
            locale[row] = lists[2][person.locale[row]]
    age_days = day - person.signup_day
    level = np.minimum(np.floor(age_days / 400.0 + 2.0 * draws.uniform(person.keys, "level")), 5).astype(
        np.int64
    )
    words = np.array([*given.categories, "newcomer", "vip"])
    # Tags as one boolean matrix: its true cells, row by row, are the values of a list array.
    marks = np.column_stack([person.tags, age_days < 14, level >= 4])
    offsets = np.r_[0, np.cumsum(marks.sum(axis=1))].astype(np.int32)
    tags = pa.ListArray.from_arrays(pa.array(offsets), pa.array(words[np.nonzero(marks)[1]], pa.string()))
    second = (86_400 * draws.uniform(person.keys, "signup second")).astype(np.int64)
    return as_contract(
        "user_profiles",
        {
            "user_id": user_ids(person),
            "gender": _words(_GENDERS, person.gender),
            "birth_year": pa.array(person.birth_year, mask=draws.uniform(person.keys, "age given") > 0.85),
            "country": _words([country.code for country in given.countries], person.country),
            "province": pa.array(province, pa.string()),
            "locale": pa.array(locale, pa.string()),
            "timezone": _words(given.timezones, person.timezone),
            "signup_ts": timestamps(person.signup_day * 86_400 + second),
            "device_vendor": pc.if_else(
                pa.array(person.has_app), pa.array(vendor, pa.string()), pa.scalar(None, pa.string())
            ),
            "membership_level": pa.array(level),
            "tags": tags,
        },
    )


def endpoints(person: People, anchor_day: int, day: int, bounced: set[tuple[str, str]]) -> pa.Table:
    """Return user_endpoints as of a day.

    `bounced` holds the (user id, channel) whose address turned out to be dead.
    """
    reach = contact(person, anchor_day)
    ids_of = [user_id(index) for index in person.index.tolist()]
    token = [ids.mix(person.keys, "token", str(part)).tolist() for part in range(4)]
    users, channels, addresses, active, registered = [], [], [], [], []
    share = draws.uniform(draws.counted(person.keys[:, None], np.arange(4)[None, :]), "registered")
    since = (person.signup_day[:, None] + share * np.maximum(day - person.signup_day, 0)[:, None]) * 86_400
    for column, name in enumerate(CHANNELS):
        for row in np.flatnonzero(reach.has[:, column]).tolist():
            devices = 2 if column < 2 and person.has_second_device[row] else 1
            for device in range(devices):
                users.append(ids_of[row])
                channels.append(name)
                addresses.append(
                    _address(name, int(person.index[row]), token[2 * device][row], token[2 * device + 1][row])
                )
                active.append(bool(reach.is_active[row, column]) and (ids_of[row], name) not in bounced)
                registered.append(int(since[row, column]))
    return as_contract(
        "user_endpoints",
        {
            "user_id": pa.array(users, pa.string()),
            "channel": pa.array(channels, pa.string()),
            "address": pa.array(addresses, pa.string()),
            "registered_ts": timestamps(np.array(registered, dtype=np.int64)),
            "is_active": pa.array(active, pa.bool_()),
        },
    )


def _address(channel: str, index: int, high: int, low: int) -> str:
    if channel == "sms":
        return f"+1555{index:07d}"
    if channel == "email":
        return f"{user_id(index)}@mail.example"
    return f"{high:016x}{low:016x}" if channel == "apns" else f"f{high:016x}:APA91{low:016x}"


def preferences(
    person: People, anchor_day: int, day: int, refused: Sequence[tuple[str, str, int]]
) -> pa.Table:
    """Return user_preferences as of a day.

    Args:
        refused: (user id, topic, seconds since 1970) of people who unsubscribed in answer to a push.
    """
    reach = contact(person, anchor_day)
    ids_of = [user_id(index) for index in person.index.tolist()]
    rows: dict[tuple[str, str, str], tuple[bool, int]] = {}
    for row in np.flatnonzero(draws.uniform(person.keys, "says yes") < 0.1).tolist():
        # Some people once opted in explicitly; a later refusal replaces that row.
        rows[ids_of[row], "topic", "promo"] = (True, int(person.signup_day[row]) * 86_400 + 3_600)
    for kind, what, outs in (
        ("topic", topics(), reach.topic_out_day),
        ("channel", CHANNELS, reach.channel_out_day),
    ):
        for column, name in enumerate(what):
            for row in np.flatnonzero((outs[:, column] <= day) & (outs[:, column] != NEVER)).tolist():
                rows[ids_of[row], kind, name] = (False, int(outs[row, column]) * 86_400)
    # `refused` covers the whole world, this call one block of it.
    here = set(ids_of)
    for user, topic, at in refused:
        if user in here and at < (day + 1) * 86_400:
            rows[user, "topic", topic] = (False, at)
    ordered = sorted(rows)
    return as_contract(
        "user_preferences",
        {
            "user_id": pa.array([key[0] for key in ordered], pa.string()),
            "kind": pa.array([key[1] for key in ordered], pa.string()),
            "name": pa.array([key[2] for key in ordered], pa.string()),
            "is_opted_in": pa.array([rows[key][0] for key in ordered], pa.bool_()),
            "updated_ts": timestamps(np.array([rows[key][1] for key in ordered], dtype=np.int64)),
        },
    )


def events(person: People, ids_of: pa.Array, happened: Events, day: int) -> pa.Table:
    """Return clean user_events rows of one day; `ids_of` are `user_ids(person)`."""
    number = (day - 20_000) * 100_000_000_000 + person.index[happened.row] * PER_USER_DAY + happened.number
    micros = (
        1_000_000 * draws.uniform(draws.counted(person.keys[happened.row], happened.number), "micros")
    ).astype(np.int64)
    return as_contract(
        "user_events",
        {
            "event_id": pc.binary_join_element_wise("e", pa.array(number).cast(pa.string()), ""),
            "user_id": ids_of.take(pa.array(happened.row)),
            "event_type": _words(EVENT_TYPES, happened.kind),
            "item": _words(parameters().categories, happened.category),
            "value": pa.array(happened.value, mask=np.isnan(happened.value)),
            "event_ts": pa.array(happened.at * 1_000_000 + micros).cast(TIMESTAMP),
        },
    )


def history(person: People, ids_of: pa.Array, pushes: Pushes, answers: Answers, day: int) -> pa.Table:
    """Return push_history rows of a day's pushes."""
    campaigns, materials = names()
    users = ids_of.take(pa.array(pushes.row))
    ds = day_name(day)
    pairs = zip(pushes.campaign.tolist(), users.to_pylist(), strict=True)
    return as_contract(
        "push_history",
        {
            "message_id": pa.array(
                [ids.message_id(campaigns[code], user, ds) for code, user in pairs], pa.string()
            ),
            "user_id": users,
            "campaign_id": _words(campaigns, pushes.campaign),
            "material_id": _words(materials, pushes.material),
            "channel": _words(CHANNELS, pushes.channel),
            "sent_ts": timestamps(pushes.at),
            "slot_propensity": pa.array(pushes.slot_propensity),
            "material_propensity": pa.array(pushes.material_propensity),
            "opened_ts": timestamps(answers.opened_at, answers.opened_at >= 0),
        },
    )


def _words(words: Sequence[str | None], codes: Ints) -> pa.Array:
    """Return the words of codes; null for code -1 or a None among the words."""
    return pa.array(list(words), pa.string()).take(pa.array(codes, mask=codes < 0))
