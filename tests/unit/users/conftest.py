"""Lakes on each kind of store, as the lake's own tests have them."""

from __future__ import annotations

from tests.unit.lake.conftest import any_lake, s3_endpoint, s3_store, s3_url, store

__all__ = ["any_lake", "s3_endpoint", "s3_store", "s3_url", "store"]
