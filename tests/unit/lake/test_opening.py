"""Which store an address names."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia.errors import InvalidInput
from angelia.lake.opening import open_store
from angelia.lake.store import LocalStore


def test_a_path_is_a_folder_here(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "la ke"))
    assert isinstance(store, LocalStore)
    assert store.create("main/x", b"1")
    assert (tmp_path / "la ke" / "main" / "x").read_bytes() == b"1"


def test_a_bucket_is_opened_at_its_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[str, str | None]] = []

    class Bucket:
        def __init__(self, url: str, endpoint: str | None) -> None:
            opened.append((url, endpoint))

    monkeypatch.setattr("angelia.lake.s3.S3Store", Bucket)
    assert isinstance(open_store("s3://bucket/some/prefix", "http://here"), Bucket)
    assert opened == [("s3://bucket/some/prefix", "http://here")]


@pytest.mark.parametrize(
    "url", ["gs://bucket/x", "S3://bucket", "file:///tmp/lake", "s3:/bucket/x", "s3a://bucket"]
)
def test_a_scheme_we_do_not_know_makes_no_folder(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="unknown scheme") as caught:
        open_store(url)
    assert "s3://bucket/prefix" in caught.value.one_line()
