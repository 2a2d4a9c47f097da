"""Keys of a lake: made once, checked at every reading, never replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia.errors import Corrupt
from angelia.lake import Lake
from angelia.lake.erasing.journal import ErasureJournal
from angelia.lake.keys import damaged_keys, lake_key
from angelia.lake.store import LocalStore
from angelia.lake.verify import verify
from angelia.users.suppressions import address_key


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.write_bytes(data)


def test_a_key_is_made_once_and_read_by_all(tmp_path: Path) -> None:
    first, second = LocalStore(tmp_path), LocalStore(tmp_path)
    key = lake_key(first, "address")
    assert len(key) == 64
    assert lake_key(second, "address") == key
    assert lake_key(first, "quality") != key
    assert (tmp_path / "keys/address.sha256").stat().st_mode & 0o777 == 0o600
    assert list(damaged_keys(first)) == []


@pytest.mark.parametrize("of", ["address", "address.sha256"])
def test_a_flipped_bit_of_a_key_is_named(lake: Lake, tmp_path: Path, of: str) -> None:
    address_key(lake.store)
    flip(tmp_path / "angelia home" / "lake" / "keys" / of)
    line = (
        "keys/address is damaged, or its checksum is; restore keys/address and keys/address.sha256 "
        "from a backup; no other key was made in its place"
    )
    with pytest.raises(Corrupt) as damaged:
        address_key(lake.store)
    assert damaged.value.one_line() == line
    assert [(one.path, one.problem) for one in verify(lake).problems] == [("keys/address", line)]
    assert verify(lake, "stops").problems == [], "keys belong to no dataset"


def test_a_key_that_is_gone_is_not_replaced(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    lake_key(store, "address")
    store.delete("keys/address")
    with pytest.raises(Corrupt, match="keys/address is missing"):
        lake_key(store, "address")
    assert [key for key, _ in damaged_keys(store)] == ["keys/address"]


def test_a_key_of_an_older_version_gets_its_checksum(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.create("keys/address", b"a" * 64)
    assert list(damaged_keys(store)) == []
    assert not store.exists("keys/address.sha256"), "looking writes nothing"
    assert lake_key(store, "address") == b"a" * 64
    flip(tmp_path / "keys" / "address")
    with pytest.raises(Corrupt):
        lake_key(store, "address")


def test_an_erasure_stops_at_a_damaged_key(lake: Lake, tmp_path: Path) -> None:
    journal = ErasureJournal(lake.store, lake.clock)
    assert journal.find("u1") is None
    flip(tmp_path / "angelia home" / "lake" / "keys" / "erasure")
    with pytest.raises(Corrupt, match="keys/erasure is damaged"):
        journal.find("u1")
