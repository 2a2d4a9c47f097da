"""Local copies of S3 objects, for readers that open files themselves (DuckDB, Spark).

Beside them stand stores that ask a bucket once where a reader looks often: for objects, copies and listings.

DuckDB and Spark each need a plug-in to read S3, which a closed network does not have; a copy needs none.
Copies are named by content, checked against their sha256 on arrival, and bounded. `ANGELIA_CACHE` names the
folder (default: in the system's folder for temporary files), `ANGELIA_CACHE_GIB` its size (default 20).
"""

from __future__ import annotations

import copy
import getpass
import hashlib
import os
import secrets
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from angelia.errors import AngeliaError, Corrupt, InvalidInput, NotFound
from angelia.lake.commit import MEND, FileEntry
from angelia.lake.store import Store

FETCH_THREADS = 8
PAGE_KEYS = 1000  # the most that S3 lists in one answer
# Where a page shows fewer partitions than this, single looks at them, eight at a time, end earlier.
PAGE_PARTITIONS = 32
UNUSED_S = 7 * 86_400.0  # copies hold personal data too, and must not outlive their lake's retention by much
IN_USE_S = 3600.0  # a file asked for in the last hour may still be open, or about to be


def fetch(store: Store, entries: Sequence[FileEntry]) -> list[str]:
    """Return a local path per entry, downloading what is not in the cache.

    Raises:
        Corrupt: an object is missing, or its bytes are not those of its commit.
    """
    folder = _folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with ThreadPoolExecutor(FETCH_THREADS) as pool:
            fetched = list(pool.map(lambda entry: _fetch_one(store, entry, folder), entries))
        if any(is_new for _, is_new in fetched):
            trim()
    except OSError as error:
        raise AngeliaError(
            f"cannot keep lake files in {folder}: {error.strerror}",
            fix="free space, or point ANGELIA_CACHE elsewhere",
        ) from None
    return [path for path, _ in fetched]


def _fetch_one(store: Store, entry: FileEntry, folder: Path) -> tuple[str, bool]:
    path = folder / entry.sha256[:2] / f"{entry.sha256}.parquet"
    try:
        if path.stat().st_size == entry.bytes:
            os.utime(path)
            return str(path), False
    except FileNotFoundError:
        pass
    try:
        data = store.read(entry.path)
    except NotFound:
        raise Corrupt(f"{entry.path}: missing", fix=MEND) from None
    if len(data) != entry.bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
        raise Corrupt(f"{entry.path}: bytes differ from its commit's sha256", fix=MEND)
    path.parent.mkdir(exist_ok=True)
    temporary = folder / f".tmp-{secrets.token_hex(8)}"
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError:
        # On a full disk half a copy would keep the space that it had.
        temporary.unlink(missing_ok=True)
        raise
    return str(path), True


class HeldStore:
    """A store that is asked for each object once, as long as this lives.

    For a reader that takes a file's columns one by one: without local paths each column would fetch it anew.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._objects: dict[str, bytes] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def read(self, key: str) -> bytes:
        """See `Store.read`."""
        if key not in self._objects:
            self._objects[key] = self._store.read(key)
        return self._objects[key]


class CopiedStore:
    """A store that reads some of its objects from this machine's copies.

    They are fetched together. For files that several passes, steps or nights read: the machine asks the
    bucket for each once.
    """

    def __init__(self, store: Store, entries: Sequence[FileEntry]) -> None:
        self._store = store
        self._copies = dict(zip([entry.path for entry in entries], fetch(store, entries), strict=True))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def local_path(self, key: str) -> Path | None:
        """See `Store.local_path`."""
        return Path(self._copies[key]) if key in self._copies else self._store.local_path(key)


class ListedStore:
    """A store that knows from one listing what stands below some folders.

    For a reader that looks at many partitions: in a bucket each look is a request. Of each folder it knows
    what was below the names from `since` on when it was made.
    """

    def __init__(self, store: Store, listings: Mapping[str, Iterable[str]], since: str = "") -> None:
        self._store = store
        self._folders, self._since = list(listings), since
        self._children: dict[str, set[str]] = {}
        for folder, keys in listings.items():
            for key in keys:
                above, _, name = key.rpartition("/")
                # A name that is known already has all folders above it, too.
                while len(above) >= len(folder) and name not in self._children.setdefault(above, set()):
                    self._children[above].add(name)
                    above, _, name = above.rpartition("/")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def knows(self, folder: str) -> bool:
        """Say whether a folder was listed, or is in one that was."""
        below = [folder[len(top) + 1 :] for top in self._folders if f"{folder}/".startswith(f"{top}/")]
        return any(not name or name >= self._since for name in below)

    def children(self, prefix: str) -> Sequence[str]:
        """See `Store.children`; of a folder that was listed, the names from `since` on."""
        return sorted(self._children.get(prefix, ())) if self.knows(prefix) else self._store.children(prefix)


class StoreReader(Protocol):
    """What reads a store, as a lake does."""

    store: Store


R = TypeVar("R", bound=StoreReader)


def with_copies(lake: R, entries: Sequence[FileEntry]) -> R:
    """Return the lake, reading these files from this machine's copies if it is in a bucket."""
    if lake.store.local_path("main"):
        return lake
    reader = copy.copy(lake)
    reader.store = CopiedStore(lake.store, entries)
    return reader


def with_listing(lake: R, folders: Iterable[str], since: str = "") -> R:
    """Return the lake, knowing from one listing of each what stands below these folders.

    Of their own folders those before `since` may be left out. A lake that is no bucket is returned as it is,
    and so is one whose partitions are too large for that. What is committed later is not seen: take a new
    one, and keep it only while you look.
    """
    store = lake.store
    if store.local_path("main"):
        return lake
    unknown = [folder for folder in folders if not (isinstance(store, ListedStore) and store.knows(folder))]
    listings = {folder: keys for folder in unknown if (keys := _listing(store, folder, since)) is not None}
    if not listings:
        return lake
    reader = copy.copy(lake)
    reader.store = ListedStore(store, listings, since)
    return reader


def _listing(store: Store, folder: str, since: str) -> list[str] | None:
    keys = iter(store.list(folder, since))
    page = list(islice(keys, PAGE_KEYS))
    partitions = {above for above, mark, _ in (key.partition("/_commits/") for key in page) if mark}
    if len(page) == PAGE_KEYS and len(partitions) < PAGE_PARTITIONS:
        return None
    return [*page, *keys]


def trim() -> None:
    """Delete copies unused for a week, and the longest unused ones beyond the size limit.

    Copies used within the hour always stay.

    Raises:
        InvalidInput: ANGELIA_CACHE_GIB is not a number.
    """
    text = os.environ.get("ANGELIA_CACHE_GIB", "20")
    try:
        limit = float(text) * 2**30
    except ValueError:
        raise InvalidInput(f"ANGELIA_CACHE_GIB={text!r} is not a number") from None
    now = time.time()
    copies: list[tuple[float, int, Path]] = []
    for path in [*_folder().glob("??/*.parquet"), *_folder().glob(".tmp-*")]:
        with suppress(FileNotFoundError):
            status = path.stat()
            copies.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in copies)
    # Longest unused first: the first copy that may stay ends the work.
    for used, size, path in sorted(copies):
        if now - used < IN_USE_S or (total <= limit and now - used < UNUSED_S):
            break
        path.unlink(missing_ok=True)
        total -= size


def forget(contents: Iterable[str]) -> None:
    """Delete this machine's copies of files by their sha256, even if they are in use."""
    folder = _folder()
    for sha256 in contents:
        (folder / sha256[:2] / f"{sha256}.parquet").unlink(missing_ok=True)


def _folder() -> Path:
    return Path(
        os.environ.get("ANGELIA_CACHE") or Path(tempfile.gettempdir()) / f"angelia-cache-{getpass.getuser()}"
    )
