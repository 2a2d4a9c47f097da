"""Addresses that clients registered, beside those of the sources."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from angelia.contracts.rows import valid_rows
from angelia.lake import Lake
from angelia.lake.expire import expire
from angelia.users.registered import (
    COLUMNS,
    NewHolders,
    addresses_of,
    amended,
    compact,
    last_words,
    permitted,
    register,
)
from tests.planned_night import put

AT = datetime(2026, 11, 14, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def word(
    user: str, address: str, at: datetime = AT, is_active: bool = True, *device: str | None
) -> dict[str, Any]:
    values = (user, "email", address, at, is_active, *(device or (None, None)))
    return dict(zip(COLUMNS, values, strict=True))


def shown(table: pa.Table) -> list[tuple[str, str]]:
    return sorted(zip(table["user_id"].to_pylist(), table["address"].to_pylist(), strict=True))


def test_an_address_is_whose_client_spoke_last(lake: Lake) -> None:
    def took(*words: dict[str, Any]) -> list[str]:
        holders = NewHolders(AT)
        for spoken in words:
            holders.take(pa.Table.from_pylist([spoken]).cast(last_words(lake).schema))
        return [user for user in ("u1", "u2", "to:9") if holders.took(user, "email", "A@x.example")]

    mine, theirs = word("u1", "a@x.example"), word("u2", "a@x.example", AT + HOUR)
    assert took() == took(word("u2", "b@x.example")) == []
    assert took(mine) == ["u2"]
    assert took(theirs) == took(mine, theirs) == took(theirs, mine) == ["u1"]
    assert took(word("u2", "a@x.example", AT - HOUR / 60)) == [], "the plan knew that"
    over = word("u2", "a@x.example", AT + 2 * HOUR, False)
    assert took(theirs, over) == ["u2"], "what its later holder gave up is its earlier one's again"
    assert took(word("u1", "a@x.example", AT, False)) == ["u1"]


def test_the_last_word_of_an_address_is_kept(lake: Lake) -> None:
    assert last_words(lake).num_rows == 0
    register(lake, [word("u1", "a@x.example", AT + HOUR, False), word("u1", "b@x.example")])
    register(lake, [word("u1", "a@x.example"), word("u1", "b@x.example", AT, False)])
    last = {row["address"]: row["is_active"] for row in last_words(lake).to_pylist()}
    assert last == {"a@x.example": False, "b@x.example": False}, "of two at one instant the end"
    earlier = {row["address"]: row["is_active"] for row in last_words(lake, until=AT + HOUR).to_pylist()}
    assert earlier["a@x.example"], "a word of that very instant is after it"
    assert last_words(lake, users=pa.array(["u2"], pa.string())).num_rows == 0


def test_the_last_word_says_what_the_device_is(lake: Lake) -> None:
    register(lake, [word("u1", "a@x.example", AT, True, "2.1", "denied"), word("u1", "b@x.example")])
    register(lake, [word("u1", "b@x.example", AT + HOUR, True, "2.2", "allowed")])
    last = last_words(lake)
    devices = {row["address"]: (row["app_version"], row["permission"]) for row in last.to_pylist()}
    assert devices == {"a@x.example": ("2.1", "denied"), "b@x.example": ("2.2", "allowed")}
    assert shown(permitted(last)) == [("u1", "b@x.example")]
    register(lake, [word("u1", "a@x.example", AT + HOUR)])
    assert permitted(last_words(lake)).num_rows == 2, "a word that says nothing of it leaves it unknown"


def test_files_of_version_1_have_no_device(lake: Lake) -> None:
    rows = valid_rows("user_endpoints", 4).drop_columns(["app_version", "permission"])
    with lake.attempt("user_endpoints", ds="2026-11-14") as attempt:
        attempt.write(rows, "part-0000.parquet", conform=False)
        commit = attempt.publish()
    read = lake.read(commit, ["permission", "user_id"])
    assert read["permission"].to_pylist() == [None] * 4 == lake.read(commit, ["permission"])[0].to_pylist()
    register(lake, [word("u0000000", "new@x.example")])
    assert len(addresses_of(lake, "u0000000")) == 3


def test_superseded_words_go_and_the_last_ones_stay(lake: Lake) -> None:
    now = AT + timedelta(days=31)
    register(lake, [word("u1", "a@x.example"), word("u1", "b@x.example")])
    register(lake, [word("u1", "a@x.example", AT + HOUR, False), word("u1", "c@x.example")])
    register(lake, [word("u1", "c@x.example", now - timedelta(days=30))])
    before = last_words(lake).sort_by("address")
    assert compact(lake, now) == 1, "a's first; c's was the last word until 30 days ago"
    assert compact(lake, now) == 0, "once"
    assert lake.numbers("main", "registered_addresses", {"log": "0"}) == [1, 2, 3, 4]
    later = Lake(lake.store, clock=lambda: lake.clock() + timedelta(days=2))
    assert len(expire(later, 3).commits) == 0, "a reader may still be at the old ones"
    assert len(expire(later, 1).commits) == 3
    fresh = Lake(lake.store)
    assert fresh.numbers("main", "registered_addresses", {"log": "0"}) == [4]
    assert last_words(fresh).sort_by("address").equals(before)
    assert fresh.read_log("registered_addresses").num_rows == 4
    register(fresh, [word("u1", "d@x.example")])
    assert last_words(Lake(lake.store)).num_rows == 4


def test_a_word_ends_and_adds_addresses() -> None:
    rows = pa.Table.from_pylist(
        [
            word("u1", "a@x.example"),
            word("u1", "b@x.example", AT + 2 * HOUR),
            word("u1", "d@x.example", AT + 2 * HOUR, False),
        ]
    )
    assert amended(rows, rows.slice(0, 0)) is rows
    words = pa.Table.from_pylist(
        [
            word("u1", "a@x.example", AT, False),
            word("u1", "b@x.example", AT + HOUR, False),
            word("u1", "c@x.example", AT + HOUR),
            word("u1", "d@x.example", AT + HOUR),
        ]
    )
    standing = amended(rows, words)
    assert shown(standing.filter(standing["is_active"])) == [("u1", "b@x.example"), ("u1", "c@x.example")]


def test_one_person_is_shown_what_stands(lake: Lake) -> None:
    register(lake, [word("u0000000", "new@x.example")])
    assert shown(addresses_of(lake, "u0000000")) == [("u0000000", "new@x.example")]
    put(lake, "user_endpoints", valid_rows("user_endpoints", 4))
    register(lake, [word("u0000000", "u0000000@example.org", is_active=False)])
    assert shown(addresses_of(lake, "u0000000")) == [
        ("u0000000", "new@x.example"),
        ("u0000000", "sandbox-token-0000000"),
    ]
    assert addresses_of(lake, "nobody").num_rows == 0
