"""Dispatches by id: each ledger is read once, and then only where an id may stand."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from angelia.contracts import arrow, dataset
from angelia.delivery.manifest import parts, sample_plan
from angelia.lake import Lake
from angelia.lake.expire import expire
from angelia.receive.finding import dispatches as room
from angelia.receive.finding.dispatches import Dispatches, index_folder

NOW = datetime(2026, 11, 15, 6, tzinfo=UTC)
DAYS = [str(date(2026, 11, 15) - timedelta(days=back)) for back in range(4)]


def name(number: int) -> str:
    return f"{number * 7_919:08x}" * 4


def put(lake: Lake, ds: str, part: str, numbers: range, sent: bool = True) -> None:
    at = datetime.fromisoformat(f"{ds}T05:00:00+00:00") if sent else None
    rows = [
        {
            "dispatch_id": name(n), "message_id": name(n), "user_id": f"u{n}", "campaign_id": "c",
            "material_id": "m", "channel": "fcm", "outcome": "accepted", "sent_ts": at, "n_attempts": 1,
        }
        for n in numbers
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=arrow.schema(dataset("delivery_ledger")))
    with lake.attempt("delivery_ledger", ds=ds, send_hour=f"{ds}T05", part=part) as attempt:
        attempt.write(table.sort_by("dispatch_id"), "part-0000.parquet", row_group_size=8)
        attempt.publish()


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the row groups that were read since the list was cleared."""
    read: list[int] = []
    own = pq.ParquetFile.read_row_group

    def counted(self: Any, group: int, **options: Any) -> Any:
        read.append(group)
        return own(self, group, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    return read


def test_the_index_of_a_day_goes_with_its_ledgers(lake: Lake, tmp_path: Path) -> None:
    old = str(NOW.date() - timedelta(days=60))
    for ds in (old, DAYS[1]):
        put(lake, ds, "a", range(10))
    index, counts = Dispatches(lake, tmp_path), Counter[str]()
    index.sent({name(1), name(99)}, [old, DAYS[1]], NOW, counts)
    days = {path.name for path in (tmp_path / "ledger").iterdir()}
    assert days == {old, DAYS[1]}
    (tmp_path / "manifest" / old).mkdir(parents=True)
    assert index.forget(NOW) == [f"manifest/{old}"], "an opt-out may be as old as a ledger that stands"
    later = NOW + timedelta(days=400)
    expire(Lake(lake.store, clock=lambda: later - timedelta(days=30)), 30)
    assert index.forget(NOW + timedelta(minutes=59)) == [], "looked at once an hour"
    assert index.forget(later - timedelta(days=30)) == [f"ledger/{old}"]
    assert {path.name for path in (tmp_path / "ledger").iterdir()} == {DAYS[1]}
    assert index.sent({name(1)}, [old], NOW, counts) == {}
    assert not counts


def sent(index: Dispatches, *numbers: int, now: datetime = NOW) -> dict[int, str]:
    counts = Counter[str]()
    facts = index.sent({name(n) for n in numbers}, DAYS, now, counts)
    assert not counts
    return {n: facts[name(n)]["user_id"] for n in numbers if name(n) in facts}


def test_an_id_costs_one_row_group_however_many_ledgers(
    lake: Lake, tmp_path: Path, groups: list[int]
) -> None:
    for number, ds in enumerate(DAYS):
        put(lake, ds, "a", range(1 + 100 * number, 100 + 100 * number))
    index = Dispatches(lake, tmp_path / "index")
    assert sent(index, 5, 105, 399, 1000) == {5: "u5", 105: "u105", 399: "u399"}
    assert len(groups) == 3
    # A process that begins anew has the index, and reads no ledger's ids again.
    groups.clear()
    later = Dispatches(lake, tmp_path / "index")
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(room, "_keys_of", lambda *_: pytest.fail("a ledger was read again"))
        assert sent(later, 105, 1000) == {105: "u105"}
    assert len(groups) == 1


def test_a_new_ledger_is_seen_at_once_more_rows_in_a_minute(lake: Lake) -> None:
    put(lake, DAYS[1], "a", range(1, 20))
    index = Dispatches(lake)
    assert sent(index, 1, 20, 40) == {1: "u1"}
    put(lake, DAYS[1], "a", range(1, 30))  # a follow-up rewrote it
    put(lake, DAYS[1], "b", range(40, 50))
    assert sent(index, 20, 40, now=NOW + timedelta(seconds=59)) == {40: "u40"}
    assert sent(index, 20, 40, now=NOW + timedelta(seconds=60)) == {20: "u20", 40: "u40"}


def test_a_day_that_sends_no_more_is_listed_once_an_hour(lake: Lake) -> None:
    days, index, counts = ["2026-10-01"], Dispatches(lake), Counter[str]()
    put(lake, days[0], "a", range(1, 9))
    assert index.ledger_days() == days
    assert name(1) in index.sent({name(1)}, days, NOW, counts)
    put(lake, days[0], "b", range(10, 19))
    for minutes, is_seen in ((59, False), (60, True)):
        answer = index.sent({name(10)}, days, NOW + timedelta(minutes=minutes), counts)
        assert (name(10) in answer) is is_seen


def test_a_sealed_hour_is_planned_until_its_ledger_stands(lake: Lake) -> None:
    commit = sample_plan.make(lake, "2026-11-14", 3)
    (part,) = parts.parts_of(lake, commit, "2026-11-15T04")
    ids = set(lake.read(commit, ["dispatch_id"])["dispatch_id"].to_pylist())
    index, counts, days = Dispatches(lake), Counter[str](), ["2026-11-14"]
    assert index.planned(ids, days, NOW, counts) == {}
    parts.seal(lake, "2026-11-14", "2026-11-15T04", "now")
    planned = index.planned(ids, days, NOW, counts)
    assert planned.keys() == ids
    assert index.addresses(planned.values()).keys() == ids
    # Where the ledger stands before anybody asked, the manifest is not read.
    rows = lake.read(commit, list(room.FACTS)).to_pylist()
    table = pa.Table.from_pylist(
        [{**row, "outcome": "accepted", "n_attempts": 1} for row in rows],
        schema=arrow.schema(dataset("delivery_ledger")),
    )
    with lake.attempt("delivery_ledger", ds=part.ds, send_hour=part.send_hour, part=part.leaf) as attempt:
        attempt.write(table, "part-0000.parquet")
        attempt.publish()
    fresh = Dispatches(lake)
    assert fresh.sent(ids, days, NOW, counts).keys() == ids
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(room, "_keys_of", lambda *_: pytest.fail("a manifest was read"))
        assert fresh.planned({name(1)}, days, NOW, counts) == {}


def test_an_unreadable_ledger_is_counted_and_read_again(lake: Lake) -> None:
    put(lake, DAYS[0], "a", range(1, 9))
    put(lake, DAYS[0], "b", range(11, 19))
    entry = lake.require("delivery_ledger", ds=DAYS[0], send_hour=f"{DAYS[0]}T05", part="a").files[0]
    path = lake.store.local_path(entry.path)
    assert path is not None
    sound = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(b"")
    index, counts = Dispatches(lake), Counter[str]()
    assert index.sent({name(1), name(11)}, DAYS, NOW, counts).keys() == {name(11)}
    assert counts == {"unreadable": 1}
    path.write_bytes(sound)
    assert sent(index, 1, 11) == {1: "u1", 11: "u11"}


def test_another_lake_at_the_same_place_has_another_index(lake: Lake, tmp_path: Path) -> None:
    first = index_folder(lake, tmp_path)
    assert first == index_folder(lake, tmp_path)
    lake.store.delete_folder("keys")
    second = index_folder(lake, tmp_path)
    assert first is not None
    assert first != second
    lake.store.put("keys/dispatches", b"damaged")
    assert index_folder(lake, tmp_path) is None
