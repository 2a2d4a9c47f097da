"""Events that arrived: each file once, and the first time somebody did something."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pyarrow as pa

from angelia.contracts.rows import valid_rows
from angelia.lake import Commit, Lake
from angelia.users.events import Happened, fresh_files

PLAN, NEXT = "2026-11-14", "2026-11-15"


def at(hour: int, minute: int = 0, day: int = 15) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def micros(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


def put(lake: Lake, *rows: tuple[str, str, datetime], ds: str = NEXT, keep: Commit | None = None) -> Commit:
    """Commit events of a day, beside the files of an earlier commit."""
    table = valid_rows("user_events", len(rows), ds=ds)
    for name, column in zip(("user_id", "event_type", "event_ts"), zip(*rows, strict=True), strict=True):
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(column, table.schema.field(name).type))
    with lake.attempt("user_events", ds=ds) as attempt:
        for entry in keep.files if keep else ():
            attempt.add(entry)
        attempt.write(table, f"part-{len(keep.files) if keep else 0}.parquet")
        return attempt.publish()


def test_a_file_is_fresh_until_its_commit_was_read(lake: Lake) -> None:
    first = put(lake, ("u1", "buy", at(1)))
    put(lake, ("u1", "buy", at(1, day=14)), ds=PLAN)
    (fresh,) = fresh_files(lake, date(2026, 11, 15), {})
    assert (fresh.number, fresh.files) == (1, first.files)
    assert list(fresh_files(lake, date(2026, 11, 15), {fresh.leaf: 1})) == []
    second = put(lake, ("u2", "buy", at(2)), keep=first)
    (fresh,) = fresh_files(lake, date(2026, 11, 15), {fresh.leaf: 1})
    assert fresh.files == tuple(entry for entry in second.files if entry not in first.files)
    assert len(fresh.files) == 1


def test_the_first_time_after_the_plans_day_counts(lake: Lake) -> None:
    happened = Happened(lake, PLAN)
    happened.watch(["buy"])
    first = put(
        lake,
        ("u1", "buy", at(8)),
        ("u1", "buy", at(9)),
        ("u1", "view", at(7)),
        ("u2", "buy", at(0)),
        ("u3", "buy", at(23, 59, day=14)),
    )
    assert happened.refresh()
    assert happened.at("u1", "buy") == micros(at(8))
    assert happened.at("u2", "buy") == micros(at(0))
    assert happened.at("u3", "buy") is None
    assert happened.at("u1", "view") is None
    assert not happened.refresh()
    put(lake, ("u1", "buy", at(6)), keep=first)
    assert happened.refresh()
    assert happened.at("u1", "buy") == micros(at(6))


def test_another_type_is_looked_for_in_what_was_read_before(lake: Lake) -> None:
    happened = Happened(lake, PLAN)
    put(lake, ("u1", "view", at(7)), ("u1", "buy", at(8)))
    assert not happened.refresh(), "nothing is watched"
    assert happened.watch(["buy"])
    happened.refresh()
    assert not happened.watch(["buy"])
    assert happened.watch(["buy", "view"])
    assert happened.refresh()
    assert happened.at("u1", "view") == micros(at(7))
