"""Chains (`users.chain`) grow, list all earlier files, and let one appender win."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from angelia.errors import Conflict, InvalidInput
from angelia.lake import Lake
from tests.user_index import append_people


def users(first: int, last: int) -> pa.Table:
    return pa.table(
        {
            "user_id": [f"u{i}" for i in range(first, last)],
            "ordinal": pa.array(range(first, last), pa.uint32()),
        }
    )


def test_a_chain_grows_and_lists_all_earlier_files(any_lake: Lake) -> None:
    first = append_people(
        any_lake,
        [users(0, 300), users(300, 512)],
        shard_bits=8,
        rejects={"bad id": 2},
    )
    assert (first.meta, first.rejects) == ({"shard_bits": 8, "n_users": 512}, {"bad id": 2})
    second = append_people(any_lake, [users(512, 520)], expected=first, shard_bits=8)
    assert (second.number, second.meta) == (2, {"shard_bits": 8, "n_users": 520})
    assert second.files[:2] == first.files
    assert [entry.shards for entry in second.files] == [(0, 1), (1, 1), (2, 2)]
    assert any_lake.read(second)["ordinal"].to_pylist() == list(range(520))
    assert append_people(any_lake, [users(520, 520)], expected=second, shard_bits=8) == second
    assert any_lake.head("user_index", chain="0") == second


def test_a_chain_refuses_what_would_break_ordinals(any_lake: Lake) -> None:
    head = append_people(any_lake, [users(0, 10)], shard_bits=8)
    for tables, bits, says in [
        ([users(10, 20)], 14, "begun with shard_bits 8, not 14"),
        ([users(11, 20)], 8, "does not continue 10 users"),
        ([users(10, 12), users(13, 20)], 8, "does not continue 12 users"),
    ]:
        with pytest.raises(InvalidInput, match=says):
            append_people(any_lake, tables, expected=head, shard_bits=bits)
    with pytest.raises(InvalidInput, match="never written on replay-1"):
        append_people(Lake(any_lake.store, "replay-1"), [users(10, 20)], expected=head, shard_bits=8)
    assert len([key for key in any_lake.store.list("") if "attempt-" in key]) == 1


def test_a_moved_chain_head_is_a_conflict(any_lake: Lake) -> None:
    head = append_people(any_lake, [users(0, 10)], shard_bits=8)
    append_people(any_lake, [users(10, 11)], expected=head, shard_bits=8)
    with pytest.raises(Conflict, match="moved to 2"):
        append_people(any_lake, [users(10, 12)], expected=head, shard_bits=8)
    with pytest.raises(Conflict, match="moved to 2"):
        append_people(any_lake, [users(0, 5)], shard_bits=8)
    assert any_lake.require("user_index", chain="0").rows == 11


def test_of_many_appenders_one_wins(any_lake: Lake) -> None:
    def append(i: int) -> bool:
        try:
            append_people(Lake(any_lake.store), [users(0, 10 + i)], shard_bits=8)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(5) as pool:
        assert sum(pool.map(append, range(5))) == 1
    assert len([key for key in any_lake.store.list("") if "attempt-" in key]) == 1
