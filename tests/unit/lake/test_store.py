"""What every store promises, on both."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from angelia.errors import AngeliaError, InvalidInput, NotFound
from angelia.lake.opening import open_store
from angelia.lake.s3 import S3Store
from angelia.lake.store import LocalStore, Store, Unsettled


def test_create_happens_once(store: Store) -> None:
    assert store.create("seals/a", b"one")
    assert not store.create("seals/a", b"two")
    assert store.read("seals/a") == b"one"


def test_equal_bytes_do_not_make_two_winners(store: Store) -> None:
    assert store.create("claims/0", b"same")
    assert not store.create("claims/0", b"same")


def test_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    old = os.umask(0o022)
    try:
        store.create("keys/address", b"secret")
        store.create("seals/a", b"one")
        store.put("keys/other", b"secret")
    finally:
        os.umask(old)
    modes = {
        key: (tmp_path / key).stat().st_mode & 0o777 for key in ("keys/address", "keys/other", "seals/a")
    }
    assert modes == {"keys/address": 0o600, "keys/other": 0o600, "seals/a": 0o644}


def test_one_of_many_threads_wins(store: Store) -> None:
    for round_ in range(5):
        with ThreadPoolExecutor(8) as pool:
            won = list(
                pool.map(lambda i, key=f"claims/{round_}": store.create(key, f"{i % 2}".encode()), range(8))
            )
        assert sum(won) == 1


def _claim(url: str, endpoint: str | None, keys: int, barrier: object, won: object) -> None:
    store = open_store(url, endpoint)
    barrier.wait()  # type: ignore[attr-defined]
    won.put([key for key in range(keys) if store.create(f"claims/{key}", b"same")])  # type: ignore[attr-defined]


def test_one_of_many_processes_wins(store: Store) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, won, keys = context.Barrier(3), context.Queue(), 20
    workers = [
        context.Process(target=_claim, args=(store.url, getattr(store, "endpoint", None), keys, barrier, won))
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    claimed = sorted(key for _ in workers for key in won.get(timeout=60))
    for worker in workers:
        worker.join()
    assert claimed == list(range(keys))


def test_put_read_size_tail_list_children_delete(store: Store, tmp_path: Path) -> None:
    store.put("a/b/one", b"12345")
    store.put("a/two", b"")
    (tmp_path / "three").write_bytes(b"xyz")
    store.put_file("a/b/three", tmp_path / "three")
    store.sync(["a/b/one", "a/two", "a/b/three"])
    assert not (tmp_path / "three").exists()
    assert store.read("a/b/three") == b"xyz"
    assert (store.size("a/b/one"), store.size("a/two")) == (5, 0)
    assert (store.tail("a/b/one", 2), store.tail("a/b/one", 99), store.tail("a/two", 3)) == (
        (5, b"45"),
        (5, b"12345"),
        (0, b""),
    )
    assert list(store.list("a")) == ["a/b/one", "a/b/three", "a/two"]
    assert list(store.list("")) == list(store.list("a"))
    assert store.children("a") == ["b", "two"]
    assert store.children("") == ["a"]
    assert [(item.key, item.bytes) for item in store.stored("a/b")] == [("a/b/one", 5), ("a/b/three", 3)]
    assert all(abs(datetime.now(UTC) - item.modified) < timedelta(minutes=5) for item in store.stored("a"))
    store.delete("a/two")
    store.delete("a/two")
    assert not store.exists("a/two")
    store.delete_folder("a")
    store.delete_folder("a")
    assert list(store.list("")) == []


def test_a_listing_may_begin_at_a_name(store: Store) -> None:
    keys = [f"a/ds=2026-{day}/_commits/00000001.json" for day in ("10-31", "11-13", "11-14")]
    for key in keys:
        store.create(key, b"x")
    store.create("b/x", b"x")
    # A local folder costs nothing to list whole; a bucket begins where it is asked to.
    assert list(store.list("a", "ds=2026-11-13")) == keys[1 if isinstance(store, S3Store) else 0 :]


def test_prefix_is_a_folder_not_a_beginning(store: Store) -> None:
    store.put("a/attempt-1/x", b"")
    store.put("a/attempt-12/y", b"")
    assert list(store.list("a/attempt-1")) == ["a/attempt-1/x"]
    store.delete_folder("a/attempt-1")
    assert list(store.list("a")) == ["a/attempt-12/y"]


def test_absent_is_not_found(store: Store) -> None:
    assert not store.exists("a/b")
    assert (list(store.list("a")), store.children("a")) == ([], [])
    for ask in (store.read, store.size, lambda key: store.tail(key, 1)):
        with pytest.raises(NotFound, match="no object a/b"):
            ask("a/b")
    store.put("a", b"a file, not a folder") if isinstance(store, LocalStore) else None
    with pytest.raises(NotFound):
        store.read("a/b")


@pytest.mark.parametrize(
    "key",
    [
        "../x",
        "a/../../x",
        "/etc/x",
        "a//b",
        "a/./b",
        "a\x00b",
        "a\nb",
        ".tmp/x",
        "",
        "a b",
        "a\\..\\b",
        "a/" + "x" * 300,
    ],
)
def test_keys_that_leave_or_hide_are_refused(store: Store, key: str) -> None:
    for do in (
        store.read,
        store.exists,
        store.size,
        store.delete,
        store.uri,
        store.local_path,
        lambda k: store.put(k, b""),
        lambda k: store.create(k, b""),
    ):
        with pytest.raises(InvalidInput, match="leaves the lake"):
            do(key)


def test_a_store_travels_to_a_worker(store: Store) -> None:
    store.put("a/x", b"1")
    assert pickle.loads(pickle.dumps(store)).read("a/x") == b"1"


def test_unknown_scheme_is_refused() -> None:
    with pytest.raises(InvalidInput, match="unknown scheme"):
        open_store("gs://bucket/x")
    with pytest.raises(InvalidInput, match="names no bucket"):
        open_store("s3:///x")


# ---- local only


def test_own_link_behind_an_error_counts_as_won(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, real = LocalStore(tmp_path / "lake"), os.link

    def repeated(source: Path, target: Path) -> None:
        real(source, target)
        raise FileExistsError(errno.EEXIST, "the network file system repeated the call")

    monkeypatch.setattr(os, "link", repeated)
    assert store.create("a/x", b"1")
    assert not store.create("a/x", b"1")


def test_a_folder_that_cannot_be_synced_leaves_the_outcome_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(tmp_path / "lake")
    store.create("a/first", b"")
    real, fail = os.fsync, []

    def broken(handle: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):  # noqa: PTH112
            fail.append(handle)
            raise OSError(errno.EIO, "Input/output error")
        real(handle)

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(Unsettled, match="cannot be synced"):
        store.create("a/x", b"1")
    assert len(fail) == 1
    assert store.exists("a/x")


def test_crash_leftovers_are_no_objects_and_are_swept(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "lake")
    store.create("a/x", b"1")
    left = tmp_path / "lake/.tmp/leftover"
    left.write_bytes(b"half")
    assert list(store.list("")) == ["a/x"]
    assert store.children("") == ["a"]
    assert store.sweep(datetime.now(UTC) - timedelta(days=1)) == 0
    assert store.sweep(datetime.now(UTC) + timedelta(days=1)) == 1
    assert not left.exists()


def test_a_lake_below_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = LocalStore(tmp_path / "file")
    for write in (lambda: store.put("a/x", b""), lambda: store.create("a/x", b"")):
        with pytest.raises(AngeliaError, match="cannot write to the lake"):
            write()
