"""Pains of other tools that profiles must not cause.

Invalid timezones silently dropped 600,000 recipients to 3,800.
"""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from angelia.contracts import arrow, dataset
from angelia.users.profiles import in_order, profile_features

SOURCE = arrow.schema(dataset("user_profiles"))
ODD = [
    "Mars/Olympus",
    "GMT+8",
    "Asia/Beijing",
    "",
    " ",
    "utc",
    "Europe/Berlin ",
    "../etc/passwd",
    "EST5EDT4",
    "\x00",
    "0",
    "Local",
    "null",
]


def profiles(zones: list[str | None]) -> pa.Table:
    """Return profiles of which nothing is known but the timezone."""
    nothing = {field.name: pa.nulls(len(zones), field.type) for field in SOURCE}
    return pa.table({**nothing, "timezone": pa.array(zones, pa.string())})


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.none(),
            st.sampled_from(["UTC", "Asia/Shanghai", "America/New_York"]),
            st.sampled_from(ODD),
            st.text(max_size=12),
        )
    )
)
@pytest.mark.pain(6)
def test_no_timezone_drops_anybody(
    zones: list[str | None],
) -> None:
    columns, refused = profile_features(profiles(zones), date(2026, 11, 14), "Asia/Shanghai")
    known = {"UTC", "Asia/Shanghai", "America/New_York"}
    assert len(columns["timezone"]) == len(zones)
    assert columns["timezone"].null_count == 0
    for given_, resolved, is_unknown in zip(
        zones, columns["timezone"].to_pylist(), columns["is_timezone_unknown"].to_pylist(), strict=True
    ):
        if given_ in known:
            assert (resolved, is_unknown) == (given_, False)
        if given_ is None or given_ in ODD:
            assert (resolved, is_unknown) == ("Asia/Shanghai", True)
    assert refused.get("timezone_null", 0) + refused.get("timezone_unknown", 0) == sum(
        columns["is_timezone_unknown"].to_pylist()
    )
    assert refused.get("timezone_null", 0) == zones.count(None)


@pytest.mark.pain(6)
def test_six_hundred_thousand_stay_six_hundred_thousand() -> None:
    zones = (["Nowhere/Land"] * 99 + ["Europe/Berlin"]) * 6_000
    columns, refused = profile_features(profiles(zones), date(2026, 11, 14), "UTC")
    assert len(columns["timezone"]) == 600_000
    assert refused == {"timezone_unknown": 594_000}
    assert columns["timezone"].to_pylist().count("UTC") == 594_000


def test_channels_of_the_catalog_follow_the_known_ones() -> None:
    assert in_order({"xiaomi", "email", "huawei", "fcm", "email_two"}) == [
        "fcm",
        "email",
        "email_two",
        "huawei",
        "xiaomi",
    ]
