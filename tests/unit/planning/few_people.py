"""Two campaigns, the terms of a night, and a few people: the smallest plan there is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa

from angelia.contracts.ids import user_keys
from angelia.planning.before import Past
from angelia.planning.eligibility import ShardPeople
from angelia.planning.terms import CampaignTerms, CapTerms, ChannelTerms, Terms

START = datetime(2026, 11, 15, 4, tzinfo=UTC)
CAMPAIGN = CampaignTerms(
    id="sale",
    topic="promo",
    audience="all",
    materials=("sale_a",),
    channels=("fcm",),
    priority="medium",
    value_micros=1_000_000,
    occurrence="2026-11-15",
    weekdays=frozenset(),
    start_date=date(2026, 11, 1),
    end_date=date(2026, 12, 1),
    send_window=None,
    holdout_pct=0.0,
    max_messages=None,
    caps=(),
    is_exempt=False,
)
ORDER = replace(CAMPAIGN, id="order", topic="orders", is_exempt=True, priority="high")
TERMS = Terms(
    ds="2026-11-14",
    start=START,
    n_slots=24,
    first_slot=0,
    campaigns=(CAMPAIGN, ORDER),
    channels=(ChannelTerms("fcm", 0, 1000, (("huawei", 2),)),),
    caps=(CapTerms(2, 1), CapTerms(6, 7)),
    gap_hours=4,
    quiet=(22, 8),
    holdout_pct=0.0,
    holdout_salt="global",
    explore_pct=0.0,
    epsilon=0.1,
    salt="s",
)


def people(who: int | list[str], **changes: object) -> ShardPeople:
    """Return people by number or by id, all of them reachable and open to everything."""
    ids = [f"u{i}" for i in range(who)] if isinstance(who, int) else who
    n = len(ids)
    base = ShardPeople(
        ordinal=np.arange(n, dtype=np.uint32),
        user_id=ids,
        keys=user_keys(ids),
        timezone=["UTC"] * n,
        country=[None] * n,
        locale=[None] * n,
        vendor=[None] * n,
        channels=np.ones((n, 1), bool),
        opted_out=[frozenset()] * n,
        is_suppressed=np.zeros(n, bool),
        workday=np.ones((n, 24)),
        day_off=np.ones((n, 24)),
    )
    return replace(base, **changes)


def past_of(user=(), campaign=(), hours=(), ids=(), channel=None):
    """Return past messages from lists."""
    texts = [None if each is None else pa.array(list(each), pa.string()) for each in (campaign, ids, channel)]
    return Past(np.array(user, np.int64), texts[0], np.array(hours, float), *texts[1:])
