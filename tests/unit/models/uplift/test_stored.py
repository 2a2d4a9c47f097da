"""Kept lift models have numbers, and the highest is the newest."""

from __future__ import annotations

from pathlib import Path

from angelia.lake.store import LocalStore
from models.uplift.stored import newest, numbers, path_of


def test_the_highest_number_is_the_newest(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assert (numbers(store, "moved"), newest(store, "moved")) == ([], None)
    for number in (2, 10, 9):
        store.create(path_of("moved", number), b"%d" % number)
    assert sorted(numbers(store, "moved")) == [2, 9, 10]
    assert newest(store, "moved") == b"10"
    assert newest(store, "other") is None


def test_what_is_no_model_is_passed_by(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.create(path_of("moved", 1), b"1")
    store.create("lift/moved/notes.json", b"{}")
    assert newest(store, "moved") == b"1"
