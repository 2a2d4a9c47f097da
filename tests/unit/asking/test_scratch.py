"""A question's lake: everything is read, nothing outside one folder is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia.asking.scratch import FOLDER, scratch_lake
from angelia.errors import InvalidInput
from angelia.lake import Lake


def test_writes_go_beside_the_lake_and_are_gone_afterwards(lake: Lake) -> None:
    lake.store.create("main/a", b"old")
    with scratch_lake(lake) as scratch:
        assert scratch.store.read("main/a") == b"old"
        assert scratch.store.create(f"{FOLDER}/x", b"1")
        scratch.store.put(f"{FOLDER}/x", b"22")
        assert scratch.store.read(f"{FOLDER}/x") == b"22"
        assert scratch.store.size(f"{FOLDER}/x") == 2
        assert list(scratch.store.list(FOLDER)) == [f"{FOLDER}/x"]
        assert not lake.store.exists(f"{FOLDER}/x")
        own = scratch.store.local_path(f"{FOLDER}/x")
        scratch.store.delete(f"{FOLDER}/x")
        assert not scratch.store.exists(f"{FOLDER}/x")
    assert own is not None
    assert not own.exists()
    assert (scratch.branch, scratch.store.url) == (lake.branch, lake.store.url)


def test_a_write_anywhere_else_is_refused(lake: Lake, tmp_path: Path) -> None:
    lake.store.create("main/a", b"old")
    with scratch_lake(lake) as scratch:
        store = scratch.store
        for write in (
            lambda: store.put("main/a", b"new"),
            lambda: store.create("main/b", b"new"),
            lambda: store.put_file("main/b", tmp_path / "file"),
            lambda: store.delete("main/a"),
            lambda: store.delete_folder("main"),
        ):
            with pytest.raises(InvalidInput, match="a question changes nothing"):
                write()
    assert lake.store.read("main/a") == b"old"
    assert not lake.store.exists("main/b")
