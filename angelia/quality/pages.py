"""Where written pages are: a folder, or a bucket from which every machine shows them.

Reads and writes below ANGELIA_REPORTS; a replay has a part of its own. A page for a bucket is written below
HOME first, and copied whole. Surprise: pages are no commits, so the newest copy replaces the one before.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from angelia.config import Settings
from angelia.drawing.files import write_text
from angelia.errors import NotFound
from angelia.lake.opening import open_store
from angelia.lake.store import Store

COPY_THREADS = 8


class ReportPages:
    """The pages of one branch's reports."""

    def __init__(self, settings: Settings) -> None:
        # A replay's decisions never replace the report of what was sent.
        self._part = "" if settings.branch == "main" else settings.branch
        self.folder = settings.reports_dir() / self._part
        self._bucket: Store | None = None
        if settings.reports_bucket():
            self._bucket = open_store(settings.reports_bucket(), settings.s3_endpoint)

    def there(self, names: Iterable[str]) -> set[str]:
        """Return which of these pages, or folders of pages, have been written."""
        if self._bucket is not None:
            return set(names) & set(self._bucket.children(self._part))
        return {name for name in names if (self.folder / name).exists()}

    def read(self, name: str) -> str | None:
        """Return a page, or None if it has not been written."""
        if self._bucket is None:
            path = self.folder / name
            return path.read_text("utf-8") if path.is_file() else None
        try:
            return self._bucket.read(self._key(name)).decode()
        except NotFound:
            return None

    def write(self, name: str, text: str) -> str:
        """Write a page whole, and return where it is."""
        write_text(self.folder / name, text)
        return self.share(name)

    def share(self, name: str) -> str:
        """Copy a page, or a folder of pages, to the bucket if there is one; return where it is.

        Of a folder, pages that are no longer written go.
        """
        local = self.folder / name
        bucket = self._bucket
        if bucket is None:
            return str(local)
        files = [local] if local.is_file() else [path for path in sorted(local.rglob("*")) if path.is_file()]
        keys = [self._key(path.relative_to(self.folder).as_posix()) for path in files]
        with ThreadPoolExecutor(COPY_THREADS) as pool:
            list(pool.map(lambda key, path: bucket.put(key, path.read_bytes()), keys, files))
            if local.is_dir():
                older = sorted(set(bucket.list(self._key(name))) - set(keys))
                list(pool.map(bucket.delete, older))
        return bucket.uri(self._key(name))

    def _key(self, name: str) -> str:
        return f"{self._part}/{name}" if self._part else name
