"""Building the index: a night reads only new rows, and the index equals one from nothing."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from angelia.audience import query as engine
from angelia.audience.bitmaps import build
from angelia.audience.bitmaps.bitmaps import blocks_a_file
from angelia.audience.bitmaps.build import build_index, one_by_one
from angelia.audience.query import AudienceQuery
from angelia.contracts import arrow, dataset
from angelia.contracts.rows import valid_rows
from angelia.errors import NotFound
from angelia.lake import Commit, Lake
from angelia.lake.store import LocalStore
from spark_jobs.running.spread import in_processes
from tests.user_index import append_people

DS, NEXT = "2026-11-14", "2026-11-15"
N, SHARD_BITS, HISTORY = 70_000, 14, 5  # two blocks
QUESTIONS = (
    "gender = 'f' AND days_since('view') <= 2",
    "count_events('view', 'camera', 5) >= 2",
    "count_events('view', 5) >= 2",
    "count_events('cart', 'item_248', 5) >= 3 OR count_events('cart', 'item_7', 4) = 1",
    "sum_events('purchase', field='value', 3) > 10.5",
    "received('sale', 3) AND NOT opened('sale', 5)",
    "NOT days_since('purchase') > 1",
    "open_rate_28d <= 0.25",
)


def back(days: int, ds: str = DS) -> str:
    return (date.fromisoformat(ds) - timedelta(days=days)).isoformat()


def write(lake: Lake, name: str, rows: pa.Table, ds: str, inputs: tuple[Commit, ...] = ()) -> None:
    with lake.attempt(name, ds=ds) as attempt:
        half = rows.num_rows // 2
        attempt.write(rows.slice(0, half), "part-0000.parquet", shards=(0, 4))
        attempt.write(rows.slice(half), "part-0001.parquet", shards=(0, 4))
        attempt.publish(inputs=inputs)


def events(day: str, n: int, seed: int = 0) -> pa.Table:
    """Return a day's user_days rows, sorted and without repeats, of people below n.

    Some types, one common item, 250 rare ones.
    """
    rng = np.random.default_rng([seed, date.fromisoformat(day).toordinal()])
    size = 3_000
    types = rng.integers(0, 3, size)
    items = np.where(rng.random(size) < 0.5, 0, rng.integers(0, 251, size))
    key = np.unique(rng.integers(0, n, size) * 3000 + types * 1000 + items)
    names = pa.array(["camera", *[f"item_{i}" for i in range(249)], None])
    return pa.table(
        {
            "ordinal": pa.array((key // 3000).astype(np.uint32)),
            "event_type": pa.array(["view", "cart", "purchase"]).take(pa.array(key // 1000 % 3)),
            "item": names.take(pa.array(key % 1000)),
            "n_events": pa.array((key // 7 % 4 + 1).astype(np.int32)),
            "value_sum": pa.array(np.where(key // 1000 % 3 == 2, key % 997 / 4, 0.0)),
            "hours": pa.array(np.ones(len(key), np.int32)),
        },
        schema=arrow.schema(dataset("user_days")),
    )


def pushes(day: str, n: int) -> pa.Table:
    rows = valid_rows("user_pushes", 200, ds=day)
    ordinals = pa.array((np.arange(200) * 331 % n).astype(np.uint32))
    columns = {
        "ordinal": ordinals,
        "campaign_id": pa.array(["sale"] * 200),
        "kind": pa.array(["sent", "opened"] * 100),
    }
    for name, values in columns.items():
        rows = rows.set_column(rows.column_names.index(name), rows.schema.field(name), values)
    return rows.take(pa.array(np.argsort(np.arange(200) * 331 % n, kind="stable")))


def people(lake: Lake, ds: str, n: int) -> None:
    """Write user_features of n people, and the index that knows them."""
    head = lake.head("user_index", chain="0")
    known = head.rows if head else 0
    if n > known:
        fresh = pa.table(
            {"user_id": [f"u{i}" for i in range(known, n)], "ordinal": pa.array(range(known, n), pa.uint32())}
        )
        head = append_people(lake, [fresh], expected=head, shard_bits=SHARD_BITS)
    rng = np.random.default_rng(7)
    rows = valid_rows("user_features", 100, ds=ds)
    rows = rows.take(pa.array(rng.integers(0, 100, n)))
    rows = rows.set_column(0, rows.schema.field(0), pa.array(np.arange(n, dtype=np.uint32)))
    assert head is not None
    write(lake, "user_features", rows, ds, (head,))


def night_one(lake: Lake, n: int = N) -> None:
    people(lake, DS, n)
    for i in range(HISTORY):
        write(lake, "user_days", events(back(i), n), back(i))
        write(lake, "user_pushes", pushes(back(i), n), back(i))


def night_two(lake: Lake, n: int = N) -> None:
    """Write the next day, and late rows of the two before."""
    people(lake, NEXT, n)
    write(lake, "user_days", events(NEXT, n), NEXT)
    for i in (0, 1):
        write(lake, "user_days", events(back(i), n, seed=1), back(i))


def content(lake: Lake, commit: Commit) -> dict[str, list[str]]:
    """Return the hashes of an index's files, and of its days'."""
    days = [lake.cited(name) for name in commit.inputs if name.startswith("bitmap_days/")]
    return {
        one.partition["ds"] + one.dataset: [entry.sha256 for entry in one.files] for one in (commit, *days)
    }


def test_an_incremental_index_answers_as_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, other = Lake.open(str(tmp_path / "nightly")), Lake.open(str(tmp_path / "at_once"))
    night_one(lake)
    first, made = build_index(lake, DS, history_days=HISTORY, spread=one_by_one)
    assert made == sorted(back(i) for i in range(HISTORY))
    night_two(lake)
    read: list[str] = []
    read_file = Lake.read_file
    monkeypatch.setattr(
        Lake,
        "read_file",
        lambda self, entry, *args, **kwargs: (
            read.append(entry.path) or read_file(self, entry, *args, **kwargs)
        ),
    )
    second, made = build_index(lake, NEXT, history_days=HISTORY, spread=one_by_one)
    assert made == [back(1), back(0), NEXT]  # late rows make two days again; the others stand as they are
    late = {f"main/{name}/ds={back(i)}" for name in ("user_days", "user_pushes") for i in (0, 1)}
    assert {path.split("/attempt")[0] for path in read} == {
        f"main/user_features/ds={NEXT}",
        f"main/user_days/ds={NEXT}",
        *late,
    }
    cited = {name.split("#")[0] for name in second.inputs if name.startswith("bitmap_days/")}
    assert cited == {
        f"bitmap_days/ds={day}@{number}"
        for day, number in ((NEXT, 1), (back(0), 2), (back(1), 2), (back(2), 1), (back(3), 1))
    }

    night_one(other)
    night_two(other)
    whole, made = build_index(other, NEXT, history_days=HISTORY, spread=one_by_one)
    assert len(made) == HISTORY
    assert content(lake, second) == content(other, whole)
    nightly, at_once = AudienceQuery(lake, NEXT), AudienceQuery(other, NEXT)
    for text in QUESTIONS:
        assert [m.serialize() for m in nightly.all_members(text)] == [
            m.serialize() for m in at_once.all_members(text)
        ], text
        assert 0 < nightly.count(text) < N, text
    # The first night's index cites the days as they were then.
    assert content(lake, lake.as_of("bitmap_index", first.number, ds=DS)) == content(lake, first)
    assert build_index(lake, NEXT, history_days=HISTORY, spread=one_by_one)[1] == []


def test_wider_blocks_make_every_day_anew(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    night_one(lake)
    build_index(lake, DS, history_days=HISTORY, spread=one_by_one)
    monkeypatch.setattr(build, "block_bits_for", lambda n, shard_bits: 17)
    commit, made = build_index(lake, DS, history_days=HISTORY, spread=one_by_one)
    assert len(made) == HISTORY
    assert commit.meta["block_bits"] == 17


def test_many_blocks_share_a_file(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [blocks_a_file(n) for n in (0, 1, 16, 31, 32, 120, 500)] == [1, 1, 1, 1, 2, 4, 4]
    people(lake, DS, N)
    answers, question = [], "gender = 'f' AND NOT age_years > 40"
    for together in (1, 2, 3):
        for module in (build, engine):
            monkeypatch.setattr(module, "blocks_a_file", lambda n, together=together: together)
        monkeypatch.setattr(build, "block_bits_for", lambda n, shard_bits: 14)  # five blocks
        commit, _ = build_index(lake, DS, history_days=HISTORY, spread=one_by_one)
        assert len(commit.files) == -(-5 // together)
        assert commit.meta["n_users"] == N
        audience = AudienceQuery(lake, DS)
        answers.append([m.serialize() for m in audience.all_members(question)])
        audience.count(question)
        assert not mapped(commit)  # a file goes with the last of its blocks, not with the audience
        resident = AudienceQuery(lake, DS, resident=True)
        resident.count(question)
        assert mapped(commit)
    assert answers[0] == answers[1] == answers[2]


def mapped(commit: Commit) -> list[str]:
    """Return the lines of this process's memory map that a commit's files stand in."""
    return [
        line
        for line in Path("/proc/self/maps").read_text().splitlines()
        if any(line.endswith(entry.path) for entry in commit.files)
    ]


def test_people_who_join_meanwhile_wait_for_the_next_night(lake: Lake) -> None:
    few = 65_000  # the others are in a block that the first index does not have
    people(lake, DS, few)
    features = lake.require("user_features", ds=DS)
    people(lake, NEXT, N)
    for i in range(HISTORY):
        write(lake, "user_days", events(back(i), N), back(i))
    build_index(lake, DS, history_days=HISTORY, spread=one_by_one)
    audience = AudienceQuery(lake, DS)
    assert features.meta == {}
    for text in (
        "days_since('view') <= 4",
        "count_events('cart', 'item_7', 5) >= 1",
        "sum_events('purchase', field='value', 5) > 1",
    ):
        members = [ordinal for part in audience.all_members(text) for ordinal in part]
        assert members
        assert max(members) < few
        assert audience.count(text) == len(members)
    write(lake, "user_days", events(NEXT, N), NEXT)
    commit, made = build_index(lake, NEXT, history_days=HISTORY, spread=one_by_one)
    assert made == [NEXT]
    seen = {
        ordinal
        for part in AudienceQuery(lake, NEXT).all_members("days_since('view') <= 4")
        for ordinal in part
    }
    days = [events(back(i, NEXT), N) for i in range(5)]
    wanted = {
        row
        for day in days
        for row, kind in zip(day["ordinal"].to_pylist(), day["event_type"].to_pylist(), strict=True)
        if kind == "view"
    }
    assert seen == wanted
    assert max(wanted) >= few
    assert commit.meta["n_users"] == N


def test_processes_write_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name, spread in (("here", one_by_one), ("there", lambda n, work: in_processes(n, work, alone_s=0.0))):
        lake = Lake.open(str(tmp_path / name))
        night_one(lake)
        contents.append(content(lake, build_index(lake, DS, history_days=HISTORY, spread=spread)[0]))
    assert contents[0] == contents[1]


def test_a_bucket_is_asked_once_a_block_for_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake.open(str(tmp_path / "lake"))
    people(lake, DS, 2_000)
    local, _ = build_index(lake, DS, history_days=1, spread=one_by_one)
    asked: Counter[str] = Counter()
    read = LocalStore.read
    monkeypatch.setattr(LocalStore, "read", lambda self, key: (asked.update([key]), read(self, key))[1])
    monkeypatch.setattr(LocalStore, "local_path", lambda self, key: None)
    remote, _ = build_index(lake, DS, history_days=1, spread=one_by_one)
    files = lake.require("user_features", ds=DS).files
    assert {asked[entry.path] for entry in files} == {1}
    assert content(lake, remote) == content(lake, local)


def test_features_that_cite_no_index_are_named(lake: Lake) -> None:
    write(lake, "user_features", valid_rows("user_features", 10), DS)
    with pytest.raises(NotFound) as lacking:
        build_index(lake, DS, history_days=HISTORY, spread=one_by_one)
    assert lacking.value.one_line() == (
        "user_features/ds=2026-11-14@1 does not say which user_index it was made from; "
        "make it again (build_features --ds 2026-11-14), and all after it"
    )
