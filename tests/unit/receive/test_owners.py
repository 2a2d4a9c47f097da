"""Whose number a text came from: its newest owner's, without hashing everybody again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.lake import Lake
from angelia.lake.erasing.erase import erase
from angelia.receive import owners
from angelia.receive.journal import Event
from angelia.receive.owners import Owners
from angelia.users.registered import register
from angelia.users.suppressions import address_hash, address_key

AT = datetime(2026, 11, 10, tzinfo=UTC)
SCHEMA = pa.schema([one.with_nullable(True) for one in arrow.schema(dataset("user_endpoints"))])
Row = tuple[str, str, str | None, int]


def publish(lake: Lake, *files: list[Row], ds: str = "2026-11-14") -> None:
    """Write files of (user, channel, address, day of registration)."""
    names = ("user_id", "channel", "address")
    with lake.attempt("user_endpoints", ds=ds) as attempt:
        for number, rows in enumerate(files):
            full = [
                dict(zip(names, row[:3], strict=True))
                | {"registered_ts": AT + timedelta(days=row[3]), "is_active": True}
                for row in rows
            ]
            table = pa.Table.from_pylist(full, schema=SCHEMA)
            attempt.write(table, f"part-{number:04d}.parquet", conform=False)  # as sources are taken
        attempt.publish()


def asked(lake: Lake, owners: Owners, number: str, channel: str = "sms") -> str | None:
    """Return who is said to have a number."""
    hashed = address_hash(address_key(lake.store), channel, number)
    event = Event("SM1", "", "stop", 0, None, channel, address_hash=hashed)
    facts = owners.of([event]).get(f"{channel}:{hashed}")
    return None if facts is None else str(facts["user_id"])


def test_a_number_is_its_newest_owners(lake: Lake) -> None:
    assert asked(lake, Owners(lake), "+49151000") is None  # no snapshot yet
    publish(
        lake,
        [("u1", "sms", "+49151000", 0), ("u2", "email", "+49151000", 9), ("u3", "sms", None, 9)],
        [("u4", "sms", "+49151999", 9), ("u5", "sms", "+49 151 000", 3), ("u6", "sms_eu", "+49151000", 9)],
    )
    who = Owners(lake)
    assert asked(lake, who, "+49151000") == "u5"
    assert asked(lake, who, "+49151000", "sms_eu") == "u6"
    assert asked(lake, who, "+49151111") is None


def test_everybody_is_hashed_once_a_snapshot(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed, real = list[str](), owners.address_hashes
    monkeypatch.setattr(owners, "address_hashes", lambda *args: hashed.append(args[2]) or real(*args))
    publish(lake, [(f"u{n}", "sms", f"+49151{n:03d}", 0) for n in range(20)])
    who = Owners(lake)
    assert asked(lake, who, "+49151003") == "u3"
    hashed.clear()
    assert asked(lake, who, "+49151004") == "u4"
    assert asked(lake, who, "+49151777") is None
    assert hashed == ["+49151004"]  # to be sure that it is not another one with the same beginning
    publish(lake, [("u9", "sms", "+49151004", 0)], ds="2026-11-15")
    assert asked(lake, who, "+49151004") == "u9"


def test_a_clients_word_moves_a_number(lake: Lake) -> None:
    names = ("user_id", "channel", "address", "registered_ts", "is_active")

    def word(user: str, number: str, day: int, is_active: bool = True) -> None:
        values = (user, "sms", number, AT + timedelta(days=day), is_active)
        register(lake, [dict(zip(names, values, strict=True))])

    who = Owners(lake)
    word("u7", "+49151777", 1)
    assert asked(lake, who, "+49151777") == "u7", "known to clients alone"
    publish(
        lake, [("u1", "sms", "+49151000", 2), ("u2", "sms", "+49151999", 2), ("u3", "sms", "+49151555", 2)]
    )
    for user, number, day, is_active in [("u8", "+49151000", 3, True), ("u2", "+49151999", 3, False)]:
        word(user, number, day, is_active)
    word("u3", "+49151555", 1, False)
    numbers = ("+49151000", "+49151999", "+49151555", "+49151777")
    assert [asked(lake, who, number) for number in numbers] == ["u8", None, "u3", "u7"]


def test_a_number_of_an_erased_person_is_nobodys(lake: Lake) -> None:
    names = ("user_id", "channel", "address", "registered_ts", "is_active")
    words = [("u1", "sms", "+49151000", AT, True), ("u2", "sms", "+49151001", AT, True)]
    register(lake, [dict(zip(names, word, strict=True)) for word in words])
    who = Owners(lake)
    assert asked(lake, who, "+49151000") == "u1"
    erase(Lake(lake.store, clock=lake.clock), ["u1"])  # as another process would
    assert asked(lake, who, "+49151000") is None
    assert asked(lake, who, "+49151001") == "u2"
