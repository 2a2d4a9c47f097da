"""A lake that is read whole, and written in one local folder that goes away.

What-if runs the planner's own passes, which put problems and decisions into their lake; here they land beside
it. Surprise: a write anywhere else is refused, so a question can change nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.lake.store import LocalStore, Store, StoredObject

FOLDER = "main/decisions/what-if/attempt-scratch"


class ScratchStore:
    """A store that reads from another, and keeps what is below `FOLDER` in a folder of its own."""

    def __init__(self, behind: Store, root: Path) -> None:
        self._behind, self._own = behind, LocalStore(root)
        self.url = behind.url

    def _of(self, key: str) -> Store:
        return self._own if key.startswith(FOLDER) else self._behind

    def _writable(self, key: str) -> Store:
        if not key.startswith(FOLDER):
            raise InvalidInput(f"{key} would be written: a question changes nothing")
        return self._own

    def create(self, key: str, data: bytes) -> bool:
        """Create an object of the scratch folder."""
        return self._writable(key).create(key, data)

    def put(self, key: str, data: bytes) -> None:
        """Write an object of the scratch folder."""
        self._writable(key).put(key, data)

    def put_file(self, key: str, path: Path) -> None:
        """Move a local file into the scratch folder."""
        self._writable(key).put_file(key, path)

    def sync(self, keys: Iterable[str]) -> None:
        """Do nothing: scratch need not survive."""

    def read(self, key: str) -> bytes:
        """Return an object's bytes."""
        return self._of(key).read(key)

    def tail(self, key: str, n: int) -> tuple[int, bytes]:
        """Return an object's size and its last n bytes."""
        return self._of(key).tail(key, n)

    def exists(self, key: str) -> bool:
        """Return whether the object is there."""
        return self._of(key).exists(key)

    def size(self, key: str) -> int:
        """Return an object's size in bytes."""
        return self._of(key).size(key)

    def list(self, prefix: str, since: str = "") -> Iterator[str]:
        """Yield the keys below a folder prefix, sorted; at least those from `since` on."""
        return self._of(prefix).list(prefix, since)

    def stored(self, prefix: str) -> Iterator[StoredObject]:
        """Yield key, size and time of the objects below a folder prefix."""
        return self._of(prefix).stored(prefix)

    def children(self, prefix: str) -> Sequence[str]:
        """Return the names directly below a folder prefix, sorted."""
        return self._of(prefix).children(prefix)

    def delete(self, key: str) -> None:
        """Remove an object of the scratch folder."""
        self._writable(key).delete(key)

    def delete_folder(self, prefix: str) -> None:
        """Remove everything below a prefix of the scratch folder."""
        self._writable(prefix).delete_folder(prefix)

    def sweep(self, before: datetime) -> int:
        """Remove nothing."""
        return 0

    def uri(self, key: str) -> str:
        """Return a name for people."""
        return self._of(key).uri(key)

    def local_path(self, key: str) -> Path | None:
        """Return the local file, or None where there is none."""
        return self._of(key).local_path(key)


@contextmanager
def scratch_lake(lake: Lake) -> Iterator[Lake]:
    """Yield a lake whose writes below `FOLDER` are local and gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="angelia-what-if-") as root:
        yield Lake(ScratchStore(lake.store, Path(root)), lake.branch, lake.clock)
