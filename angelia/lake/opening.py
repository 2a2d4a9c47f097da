"""The store behind an address: a folder, or s3://bucket/prefix."""

from __future__ import annotations

from pathlib import Path

from angelia.config import ADDRESS
from angelia.errors import InvalidInput
from angelia.lake.store import LocalStore, Store


def open_store(url: str, endpoint: str | None = None) -> Store:
    """Return the store of a folder path or of s3://bucket/prefix.

    Raises:
        InvalidInput: the address has a scheme we do not know.
    """
    if url.startswith("s3://"):
        # Imported when named: botocore takes a fifth of a second that a local lake does not owe.
        from angelia.lake.s3 import S3Store

        store: Store = S3Store(url, endpoint)
        return store
    if ADDRESS.match(url):
        raise InvalidInput(
            f"lake address {url!r} has an unknown scheme", fix="use a folder or s3://bucket/prefix"
        )
    return LocalStore(Path(url))
