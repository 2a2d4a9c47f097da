"""Written pages in a folder, and in a bucket that other machines read."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia.config import Settings
from angelia.lake.store import LocalStore
from angelia.quality import pages
from angelia.quality.pages import ReportPages


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    """Return the store that stands for s3://b/reports."""
    store = LocalStore(tmp_path / "bucket")
    monkeypatch.setattr(pages, "open_store", lambda url, endpoint: {"s3://b/reports": store}[url])
    return store


def machine(home: Path, branch: str = "main") -> ReportPages:
    return ReportPages(Settings(home=home, reports="s3://b/reports", branch=branch))


def test_pages_in_a_folder_stay_there(tmp_path: Path) -> None:
    own = ReportPages(Settings(home=tmp_path))
    assert own.read("quality.html") is None
    assert own.write("quality.html", "good") == str(tmp_path / "reports" / "quality.html")
    assert own.read("quality.html") == "good"
    assert own.there(["quality.html", "series.html"]) == {"quality.html"}
    replay = ReportPages(Settings(home=tmp_path, branch="replay-x"))
    assert replay.write("quality.html", "other") == str(tmp_path / "reports" / "replay-x" / "quality.html")
    assert own.read("quality.html") == "good"


def test_pages_in_a_bucket_are_every_machines(tmp_path: Path, bucket: LocalStore) -> None:
    first, other = machine(tmp_path / "first"), machine(tmp_path / "other")
    assert first.write("2026-11-14.html", "good") == bucket.uri("2026-11-14.html")
    machine(tmp_path / "first", "replay-x").write("2026-11-13.html", "other")
    assert other.read("2026-11-14.html") == "good"
    assert other.there(["2026-11-14.html", "2026-11-13.html"]) == {"2026-11-14.html"}
    first.write("2026-11-14.html", "better")
    assert other.read("2026-11-14.html") == "better"
    assert other.read("series.html") is None


def test_a_folder_of_pages_replaces_the_older_one(tmp_path: Path, bucket: LocalStore) -> None:
    own = machine(tmp_path)
    for name in ("index.html", "static/a.css", "older.html"):
        own.write(f"data_docs/{name}", name)
    (tmp_path / "reports" / "data_docs" / "older.html").unlink()
    assert own.share("data_docs") == bucket.uri("data_docs")
    assert list(bucket.list("")) == ["data_docs/index.html", "data_docs/static/a.css"]
    assert own.there(["data_docs"]) == {"data_docs"}
