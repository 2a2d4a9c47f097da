"""What pages share between requests: lake, catalog, clock, and knowledge worth keeping.

Knowledge is kept under a key that names the commits or objects it was made from, so it never goes stale:
another commit is another key. One engine serves one process; the API server has one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from angelia.catalog.store import CatalogStore
from angelia.config import Settings, load_settings
from angelia.lake import Lake
from angelia.lake.configured import open_lake

T = TypeVar("T")
KEPT_AT_MOST = 4_096


def utc_now() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)


class Engine:
    """Opens what pages read, and keeps what is costly to find out twice."""

    def __init__(self, now: Callable[[], datetime] = utc_now) -> None:
        self.now = now
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}

    @property
    def settings(self) -> Settings:
        """The settings as the environment gives them."""
        return load_settings()

    def lake(self, branch: str = "main") -> Lake:
        """Open the lake; the console shows main, and replays where a page is about one."""
        return open_lake(branch, self.settings)

    def store(self) -> CatalogStore:
        """Return the catalog's store, connected once."""
        url = self.settings.catalog_url()
        return self.kept(("store", url), lambda: CatalogStore.open(url))

    def kept(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what `make` returns, made once for a key; others who ask for it wait.

        The least recently used of `KEPT_AT_MOST` is forgotten. What raises is not kept.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return cast(T, self._kept[key])
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._kept:
                    return cast(T, self._kept[key])
            try:
                value = make()
            finally:
                with self._lock:
                    self._making.pop(key, None)
            with self._lock:
                self._kept[key] = value
                if len(self._kept) > KEPT_AT_MOST:
                    self._kept.popitem(last=False)
            return value
