"""One person in the lake: found by id, read by row group, and nobody else's rows."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from angelia.contracts.rows import user_name, valid_rows
from angelia.errors import Corrupt, InvalidInput, NotFound
from angelia.lake import Commit, Lake
from angelia.users.one_person import Footers, PersonLake, find_ordinal, rows_of_user
from tests.user_index import append_people

DS, BITS, N = "2026-11-14", 8, 600


@pytest.fixture
def index(lake: Lake) -> Commit:
    users = valid_rows("user_index", N)
    first = append_people(lake, [users.slice(0, 400)], shard_bits=BITS)
    return append_people(lake, [users.slice(400)], expected=first, shard_bits=BITS)


def features(lake: Lake, groups: int = 64) -> Commit:
    """Write a snapshot in three shards, in row groups of so many people."""
    people = valid_rows("user_features", N, ds=DS)
    with lake.attempt("user_features", ds=DS) as attempt:
        for shard in range(3):
            rows = people.slice(shard << BITS, 1 << BITS)
            name = f"shard-{shard}.parquet"
            attempt.add(
                lake.write_file(
                    "user_features", attempt.folder, rows, name, shards=(shard, shard), row_group_size=groups
                )
            )
        return attempt.publish()


@pytest.mark.parametrize("number", [0, 399, 400, 599])
def test_a_person_is_found_in_any_file_of_the_index(lake: Lake, index: Commit, number: int) -> None:
    assert find_ordinal(lake, index, user_name(number)) == number


@pytest.mark.parametrize("name", ["", "u", user_name(N), user_name(1) + " ", "nobody@x.example"])
def test_an_unknown_id_is_refused_and_not_repeated(lake: Lake, index: Commit, name: str) -> None:
    with pytest.raises(NotFound) as refused:
        find_ordinal(lake, index, name)
    line = refused.value.one_line()
    assert line.startswith("nobody of this id is among the 600 people of user_index/chain=0@2")
    assert not name or name == "u" or name not in line


@pytest.mark.parametrize("number", [0, 63, 64, 255, 256, 599])
def test_only_the_persons_rows_are_read(lake: Lake, number: int) -> None:
    commit = features(lake)
    whole = lake.read(commit)
    table = PersonLake(lake, number, BITS).read(commit)
    assert table.schema.equals(whole.schema)
    assert table.to_pylist() == whole.slice(number, 1).to_pylist()
    rows = PersonLake(lake, number, BITS).read(commit, ["timezone", "ordinal"])
    assert rows.to_pylist() == whole.select(["timezone", "ordinal"]).slice(number, 1).to_pylist()


def test_other_shards_and_row_groups_are_not_touched(lake: Lake) -> None:
    commit = features(lake)
    # Bytes of another shard, and of another row group of the person's own, may rot without being noticed.
    for entry in commit.files:
        path = lake.store.local_path(entry.path)
        assert path is not None
        data = bytearray(path.read_bytes())
        spoilt = slice(4, 104) if entry.shards == (1, 1) else slice(4, len(data) - 4096)
        data[spoilt] = bytes(len(data[spoilt]))
        path.write_bytes(data)
    person = PersonLake(lake, 256 + 200, BITS)
    assert person.read(commit, ["ordinal"])["ordinal"].to_pylist() == [456]
    with pytest.raises(Corrupt):
        PersonLake(lake, 256 + 1, BITS).read(commit)


def test_a_person_beyond_a_commit_has_no_rows(lake: Lake) -> None:
    commit = features(lake)
    person = PersonLake(lake, 700, BITS)
    assert person.read(commit).num_rows == 0
    with pytest.raises(InvalidInput, match="has no column no_such"):
        person.read_file(commit.files[2], ["no_such"])


@pytest.mark.parametrize("number", [0, 63, 200, 255])
def test_nothing_behind_the_persons_rows_is_decoded(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    commit = features(lake, groups=256)
    monkeypatch.setattr("angelia.users.one_person.BATCH_ROWS", 16)
    decoded, batches = [], pq.ParquetFile.iter_batches

    def watched(self: pq.ParquetFile, *words: object, **more: object) -> Iterator[pa.RecordBatch]:
        for batch in batches(self, *words, **more):
            decoded.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watched)
    rows = PersonLake(lake, number, BITS).read(commit).to_pylist()
    assert rows == lake.read(commit).slice(number, 1).to_pylist()
    assert sum(decoded) == (number // 16 + 1) * 16


def test_a_persons_rows_may_lie_in_several_batches(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("angelia.users.one_person.BATCH_ROWS", 4)
    table = pa.table({"ordinal": pa.array([7, 3, 7, 7, 7, 7, 1, 7, 9, 9, 9, 9, 9], pa.uint32())})
    table = table.append_column("place", pa.array(range(13)))
    with lake.attempt("user_pushes", ds=DS) as attempt:
        attempt.write(table, "part.parquet", conform=False, shards=(0, 0))
        commit = attempt.publish()
    person = PersonLake(lake, 7, BITS)
    assert person.read_file(commit.files[0])["place"].to_pylist() == [0, 2, 3, 4, 5, 7]


def test_columns_beyond_those_read_ahead_are_read_later(lake: Lake) -> None:
    commit = features(lake)
    person, whole = PersonLake(lake, 300, BITS), lake.read(commit).slice(300, 1)
    person.prefetch([commit], {"user_features": ["ordinal", "timezone", "no_such"]})
    assert person._read[commit.files[1].path].column_names == ["ordinal", "timezone"]
    assert person.read(commit, ["timezone"]).to_pylist() == whole.select(["timezone"]).to_pylist()
    assert person.read(commit, ["locale"]).to_pylist() == whole.select(["locale"]).to_pylist()
    assert person.read(commit).to_pylist() == whole.to_pylist()
    with pytest.raises(InvalidInput, match="has no column no_such"):
        person.read(commit, ["no_such"])


def test_all_columns_are_read_after_some(lake: Lake) -> None:
    commit = features(lake)
    person = PersonLake(lake, 300, BITS)
    person.prefetch([commit], {"user_features": ["ordinal"]})
    assert person.read(commit).to_pylist() == lake.read(commit).slice(300, 1).to_pylist()


def test_memberships_are_cut_down_to_the_person(lake: Lake) -> None:
    from pyroaring import BitMap

    rows = [("a", 0, {1, 2}), ("a", 1, {300, 301}), ("b", 1, {300})]
    table = pa.table(
        {
            "audience": [name for name, _, _ in rows],
            "shard": pa.array([shard for _, shard, _ in rows], pa.int32()),
            "cardinality": [len(people) for _, _, people in rows],
            "bitmap": pa.array([BitMap(people).serialize() for _, _, people in rows], pa.large_binary()),
        }
    )
    with lake.attempt("audience_members", ds=DS) as attempt:
        attempt.write(table, "block.parquet", shards=(0, 1))
        commit = attempt.publish()
    members_of_shard = PersonLake(lake, 301, BITS).read(commit, ["audience", "shard", "bitmap"]).to_pylist()
    members = {row["audience"]: set(BitMap.deserialize(row["bitmap"])) for row in members_of_shard}
    assert members == {"a": {301}, "b": set()}


@pytest.mark.parametrize("user", [user_name(0), user_name(7), user_name(39), user_name(40), "", "zz"])
def test_a_source_gives_the_persons_rows_alone(lake: Lake, user: str) -> None:
    """Of two files and many row groups, and whatever type the ids are stored in."""
    rows = valid_rows("user_endpoints", 40)
    at = rows.schema.get_field_index("user_id")
    coded = rows.set_column(at, "user_id", rows["user_id"].dictionary_encode())
    with lake.attempt("user_endpoints", ds=DS) as attempt:
        for number, table in enumerate((rows.slice(0, 20), coded.slice(20), rows.slice(5, 9))):
            name = f"part-{number}.parquet"
            attempt.add(lake.write_file("user_endpoints", attempt.folder, table, name, row_group_size=8))
        commit = attempt.publish()
    everybody = lake.read(commit).to_pylist()
    mine = [row["channel"] for row in everybody if row["user_id"] == user]
    assert rows_of_user(lake, commit, user, ["channel"])["channel"].to_pylist() == mine


def test_a_known_footer_is_not_read_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    commit, footers = features(lake), Footers()
    whole, opened = lake.read(commit), []
    for number in (0, 300, 599):  # one of each shard
        PersonLake(lake, number, BITS, footers).read(commit)

    class Watched(pq.ParquetFile):
        def __init__(self, *words: object, metadata: object = None, **named: object) -> None:
            opened.append(metadata is not None)
            super().__init__(*words, metadata=metadata, **named)

    monkeypatch.setattr("angelia.users.one_person.pq.ParquetFile", Watched)
    for number in (64, 255, 511):
        table = PersonLake(lake, number, BITS, footers).read(commit)
        assert table.to_pylist() == whole.slice(number, 1).to_pylist()
    assert opened == [True, True, True]
    # Of a file that cannot hold the person, the footer is enough.
    nobody = PersonLake(lake, 700, BITS, footers)
    assert nobody.read_file(commit.files[0]).num_rows == 0
    assert nobody.read_file(commit.files[0], ["timezone"]).schema.names == ["timezone"]
    assert len(opened) == 3


def test_few_footers_are_kept(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("angelia.users.one_person.FOOTERS_AT_MOST", 1)
    commit, footers = features(lake), Footers()
    for number in (0, 300, 599):
        assert PersonLake(lake, number, BITS, footers).read(commit).num_rows == 1
    kept = [footers.get(f"{entry.path}@{entry.sha256}") is not None for entry in commit.files]
    assert kept == [False, False, True]
