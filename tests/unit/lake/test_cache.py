"""Local copies of objects: named by content, checked on arrival, trimmed by size."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from angelia.contracts.rows import valid_rows
from angelia.errors import AngeliaError, Corrupt, InvalidInput, NotFound
from angelia.lake import Lake, cache
from angelia.lake.commit import FileEntry
from angelia.lake.store import LocalStore


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that ANGELIA_CACHE names; it does not exist yet."""
    monkeypatch.setenv("ANGELIA_CACHE", str(tmp_path / "copies"))
    return tmp_path / "copies"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "lake")


def put(store: LocalStore, data: bytes) -> FileEntry:
    """Store an object and return the entry that a commit would have of it."""
    sha256 = hashlib.sha256(data).hexdigest()
    store.create(f"main/{sha256}", data)
    return FileEntry(f"main/{sha256}", len(data), sha256, 1)


def copy(folder: Path, name: str, size: int, unused_s: float) -> Path:
    path = folder / name[:2] / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - unused_s,) * 2)
    return path


def test_a_copy_is_fetched_once_and_used_again(store: LocalStore, folder: Path) -> None:
    entries = [put(store, b"camera"), put(store, b"tripod")]
    paths = cache.fetch(store, entries)
    assert [Path(path).read_bytes() for path in paths] == [b"camera", b"tripod"]
    assert folder.stat().st_mode & 0o777 == 0o700, "copies hold personal data"
    for entry in entries:
        store.delete(entry.path)
    assert cache.fetch(store, entries) == paths


def test_a_copy_of_another_length_is_fetched_again(store: LocalStore, folder: Path) -> None:
    entry = put(store, b"camera")
    (path,) = cache.fetch(store, [entry])
    Path(path).write_bytes(b"cam")
    assert Path(cache.fetch(store, [entry])[0]).read_bytes() == b"camera"


def test_what_differs_from_its_commit_never_becomes_a_copy(store: LocalStore, folder: Path) -> None:
    entry = put(store, b"camera")
    store.put(entry.path, b"kamera")
    with pytest.raises(Corrupt, match="bytes differ"):
        cache.fetch(store, [entry])
    store.delete(entry.path)
    with pytest.raises(Corrupt, match="missing"):
        cache.fetch(store, [entry])
    assert list(folder.rglob("*.parquet")) == []


def test_a_folder_that_cannot_be_made_names_the_setting(store: LocalStore, folder: Path) -> None:
    folder.write_bytes(b"a file stands where the folder should")
    with pytest.raises(AngeliaError) as caught:
        cache.fetch(store, [put(store, b"camera")])
    assert "ANGELIA_CACHE" in caught.value.one_line()


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount 64 KiB of tmpfs where the copies go; skip the test where it may not mount."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("mounting tmpfs is not permitted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_leaves_no_half(store: LocalStore, small_disk: Path) -> None:
    (kept,) = cache.fetch(store, [put(store, b"camera")])
    with pytest.raises(AngeliaError) as caught:
        cache.fetch(store, [put(store, bytes(100_000))])
    assert caught.value.one_line() == (
        f"cannot keep lake files in {small_disk}: No space left on device; "
        "free space, or point ANGELIA_CACHE elsewhere"
    )
    assert [str(path) for path in small_disk.rglob("*") if path.is_file()] == [kept]


def test_a_week_unused_goes_and_the_last_hour_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    week = copy(folder, "aa", 10, cache.UNUSED_S + 60)
    day = copy(folder, "bb", 10, 86_400)
    monkeypatch.setenv("ANGELIA_CACHE_GIB", "1")
    cache.trim()
    assert (week.exists(), day.exists()) == (False, True)


def test_beyond_the_size_the_longest_unused_goes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_days, day = copy(folder, "aa", 600, 2 * 86_400), copy(folder, "bb", 600, 86_400)
    in_use = copy(folder, "cc", 600, cache.IN_USE_S / 2)
    monkeypatch.setenv("ANGELIA_CACHE_GIB", str(1300 / 2**30))
    cache.trim()
    assert (two_days.exists(), day.exists(), in_use.exists()) == (False, True, True)
    monkeypatch.setenv("ANGELIA_CACHE_GIB", "0")
    cache.trim()
    assert (day.exists(), in_use.exists()) == (False, True), "a file in use stays at any size"
    monkeypatch.setenv("ANGELIA_CACHE_GIB", "plenty")
    with pytest.raises(InvalidInput, match="ANGELIA_CACHE_GIB"):
        cache.trim()


def test_an_erased_file_is_forgotten_even_in_use(folder: Path) -> None:
    kept, erased = copy(folder, "aa", 1, 0), copy(folder, "bb", 1, 0)
    cache.forget(["bb", "never-fetched"])
    assert (kept.exists(), erased.exists()) == (True, False)


def test_a_held_object_is_read_once_while_held(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    entry, read, reads = put(store, b"camera"), LocalStore.read, []
    monkeypatch.setattr(LocalStore, "read", lambda self, key: (reads.append(key), read(self, key))[1])
    held = cache.HeldStore(store)
    assert [held.read(entry.path), held.read(entry.path)] == [b"camera"] * 2
    assert reads == [entry.path]
    assert held.exists(entry.path)  # all else is the store's
    store.delete(entry.path)
    with pytest.raises(NotFound):
        cache.HeldStore(store).read(entry.path)


def test_copied_objects_have_a_local_path(store: LocalStore, folder: Path) -> None:
    entry, other = put(store, b"camera"), put(store, b"tripod")
    copied = cache.CopiedStore(store, [entry])
    assert copied.local_path(entry.path) == Path(cache.fetch(store, [entry])[0])
    assert copied.local_path(other.path) == store.local_path(other.path)
    assert copied.read(other.path) == b"tripod"  # all else is the store's


def test_a_lake_in_a_bucket_reads_copies(
    store: LocalStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, lake = put(store, b"camera"), Lake(store)
    assert cache.with_copies(lake, [entry]) is lake  # on a disk there is nothing to copy
    monkeypatch.setattr(LocalStore, "local_path", lambda store, key: None)
    reader = cache.with_copies(lake, [entry])
    assert (reader.path_of(entry), reader.branch) == (cache.fetch(store, [entry])[0], "main")
    store.delete(entry.path)
    assert Path(reader.path_of(entry)).read_bytes() == b"camera"
    assert lake.store is store


@pytest.fixture
def bucket(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """Return a lake of three days of preferences, and one on a branch, that has no local paths."""
    for branch, ds in (("main", "12"), ("main", "13"), ("main", "14"), ("replay-x", "14")):
        with Lake(store, branch).attempt("user_preferences", ds=f"2026-11-{ds}") as attempt:
            attempt.write(valid_rows("user_preferences", int(ds)), "part-0000.parquet")
            attempt.publish()
    monkeypatch.setattr(LocalStore, "local_path", lambda store, key: None)
    return Lake(store)


def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the folders that are listed from now on."""
    folders: list[str] = []
    for name in ("list", "children"):
        look = getattr(LocalStore, name)
        monkeypatch.setattr(
            LocalStore, name, lambda *words, look=look: (folders.append(words[1]), look(*words))[1]
        )
    return folders


def test_one_listing_answers_every_look(bucket: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    replay = Lake(bucket.store, "replay-x")
    folders = asked(monkeypatch)
    reader = replay.listed("user_preferences", "2026-11-13")
    heads = [reader.head("user_preferences", ds=f"2026-11-{day}") for day in (13, 14, 15)]
    assert [commit and (commit.branch, commit.rows) for commit in heads] == [
        ("main", 13), ("replay-x", 14), None,
    ]  # fmt: skip
    assert folders == ["replay-x/user_preferences", "main/user_preferences"]
    # The branch has none of that day, and what is before the listing is looked at by itself.
    assert reader.require("user_preferences", ds="2026-11-12").rows == 12
    assert folders[2:] == [
        f"{branch}/user_preferences/ds=2026-11-12/_commits" for branch in ("replay-x", "main")
    ]


def test_partitions_of_a_bucket_take_one_listing(bucket: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = asked(monkeypatch)
    days = [{"ds": f"2026-11-{day}"} for day in (12, 13, 14)]
    assert bucket.partitions("user_preferences") == days
    assert folders == ["main/user_preferences"]
    assert bucket.listed("user_preferences").partitions("user_preferences") == days
    assert folders == ["main/user_preferences"] * 2


def test_large_partitions_are_looked_at_one_by_one(bucket: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a page of keys shows few partitions, listing all keys would take longer."""
    monkeypatch.setattr(cache, "PAGE_KEYS", 6)
    assert bucket.listed("user_preferences") is bucket
    assert len(bucket.partitions("user_preferences")) == 3
    monkeypatch.setattr(cache, "PAGE_PARTITIONS", 3)
    assert bucket.listed("user_preferences") is not bucket
    monkeypatch.undo()
    assert Lake(bucket.store).listed("user_preferences").store is bucket.store  # on a disk looks cost little
