"""Where bytes live: one small interface, a local folder and S3 behind it.

The only coordination Angelia has is `create`: a conditional create that exactly one caller wins.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from angelia.errors import AngeliaError, InvalidInput, NotFound


class Store(Protocol):
    """A flat key space of immutable objects."""

    url: str

    def create(self, key: str, data: bytes) -> bool:
        """Create an object if none is there; return whether *these* bytes of *this* call are the ones that stand."""

    def put(self, key: str, data: bytes) -> None:
        """Write an object below a fresh, unshared prefix (an attempt folder)."""

    def put_file(self, key: str, path: Path) -> None:
        """Move a local file to a key below a fresh, unshared prefix."""

    def read(self, key: str) -> bytes:
        """Return an object's bytes. Raises: NotFound."""

    def exists(self, key: str) -> bool:
        """Return whether the object is there."""

    def size(self, key: str) -> int:
        """Return an object's size in bytes. Raises: NotFound."""

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys below a folder prefix, sorted."""

    def children(self, prefix: str) -> Sequence[str]:
        """Return the names directly below a folder prefix, sorted."""

    def delete(self, key: str) -> None:
        """Remove an object; absent is fine."""

    def uri(self, key: str) -> str:
        """Return what DuckDB, Spark and pyarrow open: an absolute path or an s3:// address."""

    def local_path(self, key: str) -> Path | None:
        """Return the local file, or None where there is none."""


class LocalStore:
    """A folder. Objects appear by `os.link`, so that they are whole or absent, and only one creator wins."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.url = str(self.root)

    def _path(self, key: str) -> Path:
        path = self.root / key
        if ".." in Path(key).parts or Path(key).is_absolute():
            raise InvalidInput(f"key {key!r} leaves the lake")
        return path

    def _write_temporary(self, folder: Path, data: bytes) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".tmp-{secrets.token_hex(8)}"
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise AngeliaError(
                f"cannot write to the lake at {self.url}: {error.strerror}", fix="free space or mend permissions, then rerun"
            ) from None
        return temporary

    def create(self, key: str, data: bytes) -> bool:
        """See `Store.create`."""
        path = self._path(key)
        temporary = self._write_temporary(path.parent, data)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
        return True

    def put(self, key: str, data: bytes) -> None:
        """See `Store.put`."""
        path = self._path(key)
        self._write_temporary(path.parent, data).replace(path)

    def put_file(self, key: str, path: Path) -> None:
        """See `Store.put_file`."""
        target = self._path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.replace(target)

    def read(self, key: str) -> bytes:
        """See `Store.read`."""
        try:
            return self._path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"no object {key} in {self.url}") from None

    def exists(self, key: str) -> bool:
        """See `Store.exists`."""
        return self._path(key).is_file()

    def size(self, key: str) -> int:
        """See `Store.size`."""
        try:
            return self._path(key).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"no object {key} in {self.url}") from None

    def list(self, prefix: str) -> Iterator[str]:
        """See `Store.list`."""
        base = self._path(prefix)
        if not base.is_dir():
            return
        found = [
            str((Path(folder) / name).relative_to(self.root)) for folder, _, names in os.walk(base) for name in names if not name.startswith(".tmp-")
        ]
        yield from sorted(found)

    def children(self, prefix: str) -> Sequence[str]:
        """See `Store.children`."""
        try:
            return sorted(path.name for path in self._path(prefix).iterdir() if not path.name.startswith(".tmp-"))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        self._path(key).unlink(missing_ok=True)

    def uri(self, key: str) -> str:
        """See `Store.uri`."""
        return str(self._path(key))

    def local_path(self, key: str) -> Path | None:
        """See `Store.local_path`."""
        return self._path(key)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_store(url: str, endpoint: str | None = None) -> Store:
    """Return the store of a folder path or of s3://bucket/prefix.

    Raises:
        InvalidInput: the address has a scheme we do not know.
    """
    if url.startswith("s3://"):
        from angelia.lake.s3 import S3Store

        store: Store = S3Store(url, endpoint)
        return store
    if "://" in url:
        raise InvalidInput(f"lake address {url!r} has an unknown scheme", fix="use a folder or s3://bucket/prefix")
    return LocalStore(Path(url))
