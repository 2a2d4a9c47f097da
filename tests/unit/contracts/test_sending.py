"""What is sent: how long a plan lives, families of parts, and the mart's key."""

from __future__ import annotations

from datetime import datetime, timedelta

import pyarrow as pa

from angelia.config import MAX_LEAD_HOURS
from angelia.contracts.sending import (
    ANSWER_DAYS,
    ANSWERED_DAYS,
    DELIVERY_LEDGER,
    DISPATCH_FALLOVER,
    DISPATCH_INTAKE,
    DISPATCH_MANIFEST,
    EFFECTS_MART,
    MAX_TTL_HOURS,
    PLAN_HOURS,
    PLAN_LIFE_DAYS,
    ordinal,
)

DAY = datetime(2026, 11, 14)


def test_a_plan_lives_until_its_last_message_ends() -> None:
    ends = DAY + timedelta(hours=MAX_LEAD_HOURS + PLAN_HOURS + MAX_TTL_HOURS)
    assert DAY + timedelta(days=PLAN_LIFE_DAYS - 1) < ends <= DAY + timedelta(days=PLAN_LIFE_DAYS)


def test_a_message_may_be_answered_until_the_last_callback() -> None:
    last_send = DAY + timedelta(days=PLAN_LIFE_DAYS - 1)
    last_answer = last_send + timedelta(days=ANSWER_DAYS - 1)
    assert (last_answer - DAY).days + 1 == ANSWERED_DAYS


def test_other_parts_have_the_manifests_columns() -> None:
    """A leaf names its part in all three, since each part is committed alone."""
    for contract in (DISPATCH_FALLOVER, DISPATCH_INTAKE):
        assert contract.columns == DISPATCH_MANIFEST.columns
        assert contract.partition == DELIVERY_LEDGER.partition == ("ds", "send_hour", "part")


def test_the_marts_key_is_all_that_is_no_figure() -> None:
    figures = [name for name in EFFECTS_MART.names if name not in EFFECTS_MART.key]
    assert all(name.startswith("n_") or name.endswith("value") for name in figures)
    assert not any(name.startswith("n_") for name in EFFECTS_MART.key)


def test_ordinals_hold_four_billion_people() -> None:
    assert ordinal().type == pa.uint32()
    assert not ordinal().nullable
