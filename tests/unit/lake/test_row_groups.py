"""Datasets that lie by shard are written so that one person's rows are read alone."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from angelia.contracts.rows import valid_rows
from angelia.lake import Lake
from angelia.lake.attempt import PERSONS_GROUP_ROWS


@pytest.mark.parametrize(
    ("name", "partition", "groups"),
    [
        ("send_times", {"ds": "2026-11-14"}, [PERSONS_GROUP_ROWS, 1]),
        ("user_index", {"chain": "0"}, [PERSONS_GROUP_ROWS + 1]),  # ids are looked through as a whole
    ],
)
def test_row_groups_follow_how_a_dataset_is_read(lake: Lake, name, partition, groups) -> None:
    rows = valid_rows(name, PERSONS_GROUP_ROWS + 1)
    with lake.attempt(name, **partition) as attempt:
        attempt.write(rows, "part.parquet", shards=(0, 0))
        commit = attempt.publish()
    footer = pq.read_metadata(lake.path_of(commit.files[0]))
    assert [footer.row_group(number).num_rows for number in range(footer.num_row_groups)] == groups
    assert lake.read(commit).equals(rows)
