"""Patterns of what comes from outside, at their bounds, and who is personal."""

from __future__ import annotations

import re

import pytest

from angelia.contracts import CONTRACTS
from angelia.contracts.outcomes import LEDGER
from angelia.contracts.sources import (
    ADDRESS,
    CHANNEL,
    CHANNELS,
    ID,
    LOCALE,
    NAME,
    OTHER,
    RECEIPT_KINDS,
    SOURCES,
    user_id,
)


@pytest.mark.parametrize(
    ("pattern", "fits", "does_not"),
    [
        (ID, ["auth0|x", "{9F-a}", "a/b", "x@y.z", "+49", "a" * 64], ["", "a b", "a,b", "a'b", "a" * 65]),
        (LOCALE, ["de", "zh-Hans", "zh-Hans-CN", "es-419", "fil"], ["DE", "de_DE", "de-de", "zh-hans", "d"]),
        (NAME, ["a", "sale_2", "a" * 64], ["", "2a", "_a", "Sale", "a-b", "a" * 65]),
        (ADDRESS, ["x" * 4096, "ann lee@example.org"], ["", "x" * 4097, "a\nb", "a\x7f"]),
        (CHANNEL, ["sns_apns", "a" * 32], ["", "APNS", "a" * 33]),
    ],
)
def test_a_pattern_takes_what_fits_and_nothing_beside(
    pattern: str, fits: list[str], does_not: list[str]
) -> None:
    assert [text for text in fits if not re.fullmatch(pattern, text)] == []
    assert [text for text in does_not if re.fullmatch(pattern, text)] == []


def test_channels_are_channels_and_none_is_called_other() -> None:
    assert all(re.fullmatch(CHANNEL, name) for name in CHANNELS)
    assert OTHER not in CHANNELS


def test_a_receipt_may_say_whatever_the_ledger_says() -> None:
    assert set(LEDGER) < set(RECEIPT_KINDS)
    assert len(set(RECEIPT_KINDS)) == len(RECEIPT_KINDS)


def test_an_id_of_a_person_is_personal_in_every_dataset() -> None:
    holding = [contract for contract in CONTRACTS.values() if "user_id" in contract]
    assert len(holding) > 10
    assert [contract.name for contract in holding if not contract["user_id"].personal] == []
    assert user_id(2.0).tolerated_pct == 2.0


def test_what_comes_from_outside_is_partitioned_by_day_or_a_log() -> None:
    assert {contract.partition[0] for contract in SOURCES} == {"ds", "log"}
