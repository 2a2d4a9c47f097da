"""What is named is on disk before it is named: syncs and links on a local disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from angelia.lake import Lake
from angelia.lake.store import LocalStore
from tests.unit.lake.test_attempt import publish


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """Return what is synced (by path) and linked (by its new name), in order."""
    taken: list[tuple[str, Path]] = []
    fsync, link = os.fsync, os.link

    def synced(handle: int) -> None:
        taken.append(("sync", Path(f"/proc/self/fd/{handle}").readlink()))
        fsync(handle)

    def linked(source: Any, target: Any) -> None:
        taken.append(("link", Path(target)))
        link(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "link", linked)
    return taken


def test_a_created_object_is_on_disk_before_its_name_is(
    tmp_path: Path, steps: list[tuple[str, Path]]
) -> None:
    root = tmp_path / "lake"
    root.mkdir()
    assert LocalStore(root).create("a/b/c", b"x")
    assert steps[:2] == [("sync", root), ("sync", root / "a")], "the new folders' names come first"
    (verb, temporary), *rest = steps[2:]
    assert (verb, temporary.parent) == ("sync", root / ".tmp")
    assert rest == [("link", root / "a/b/c"), ("sync", root / "a/b")]


def test_an_attempts_files_are_on_disk_before_the_commit(lake: Lake, steps: list[tuple[str, Path]]) -> None:
    commit = publish(lake)
    file, key = Path(lake.store.uri(commit.files[0].path)), Path(lake.store.uri(commit.key))
    before = steps[: steps.index(("link", key))]
    assert ("sync", file) in before
    assert ("sync", file.parent) in before
