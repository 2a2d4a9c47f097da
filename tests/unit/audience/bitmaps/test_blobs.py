"""A file of sets, used in place: in one row group or many, and never mistaken for another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from angelia.audience.bitmaps import blobs
from angelia.audience.bitmaps.blobs import BitmapRow, Blobs, write_rows
from angelia.audience.bitmaps.sets import of_flags, positions_of
from angelia.errors import Corrupt
from angelia.lake import FileEntry, Lake

WIDTH = 1 << 16
ROWS = [
    BitmapRow(block, f"f{i % 7}", "value", of_flags(np.arange(WIDTH) % (i + 2) == 0), f"v{i}")
    for block in (3, 4)
    for i in range(40)
]


def write(lake: Lake) -> FileEntry:
    with lake.attempt("bitmap_index", ds="2026-11-14") as attempt:
        entry = write_rows(lake, "bitmap_index", attempt.folder, ROWS, blocks=range(3, 5), shards=(12, 19))
        attempt.add(entry)
        attempt.publish()
    return entry


@pytest.mark.parametrize("group_bytes", [1 << 28, 5 * (WIDTH >> 3)])
def test_every_set_is_where_the_directory_says(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, group_bytes: int
) -> None:
    monkeypatch.setattr(blobs, "ROW_GROUP_BYTES", group_bytes)
    entry = write(lake)
    assert (pq.read_metadata(lake.path_of(entry)).num_row_groups > 1) == (group_bytes < 1 << 28)
    file = Blobs(lake, entry)
    for row in ROWS:
        number = file.keys(row.block, row.field)[row.kind, row.value, row.bit]
        assert not isinstance(row.content, tuple)
        assert positions_of(file.get(number)).tolist() == positions_of(row.content).tolist()
    assert file.keys(3, "nothing") == file.keys(9, "f0") == {}


@pytest.mark.parametrize("at", [-1, -6, -9, -40])
def test_a_damaged_end_is_refused(lake: Lake, at: int) -> None:
    entry = write(lake)
    path = Path(lake.path_of(entry))
    data = bytearray(path.read_bytes())
    note = data.find(blobs.NOTE.encode()) if at == -9 else None
    data[note if note is not None else at] ^= 0x55
    path.chmod(0o600)
    path.write_bytes(data)
    if at == -40:  # what stands behind the note is Parquet's own
        Blobs(lake, entry)
    else:
        with pytest.raises(Corrupt):
            Blobs(lake, entry)
