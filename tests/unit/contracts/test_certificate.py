"""A plan's cells and limits are read back as they were written, from older commits too."""

from __future__ import annotations

import json

from angelia.contracts.certificate import Limit, Messages, limits_of, messages_meta, messages_of

CELLS = [Messages("2026-11-15T09", "fcm", "sale", 8), Messages("2026-11-15T10", "sms", "digest", 3)]
LIMITS = [
    Limit(6000, 5941, 120, channel="fcm", slot="2026-11-15T09"),
    Limit(5000, 900, 0, campaign_id="sale"),
]
OLDER = {
    "messages": {"2026-11-15T09|fcm|sale": 8, "2026-11-15T10|sms|digest": 3},
    "constraints": [
        {"limit": "fcm 2026-11-15T09", "capacity": 6000, "used": 5941, "price_micros": 120},
        {"limit": "budget sale", "capacity": 5000, "used": 900, "price_micros": 0},
    ],
}


def test_what_is_stored_is_read_back() -> None:
    meta = {
        "messages": messages_meta(reversed(CELLS)),
        "constraints": [limit.as_meta() for limit in LIMITS],
    }
    stored = json.loads(json.dumps(meta))
    assert (messages_of(stored), limits_of(stored)) == (CELLS, LIMITS)


def test_older_commits_are_still_read() -> None:
    assert (messages_of(OLDER), limits_of(OLDER)) == (CELLS, LIMITS)


def test_people_see_the_names_they_knew() -> None:
    labels = [limit.as_meta()["limit"] for limit in LIMITS]
    assert labels == [stored["limit"] for stored in OLDER["constraints"]]
