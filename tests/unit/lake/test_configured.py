"""The lake that the settings name, and the branch it is opened on."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia.config import load_settings
from angelia.lake.configured import open_lake
from angelia.lake.store import LocalStore


def test_the_settings_name_folder_and_branch(
    settings_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = open_lake()
    assert isinstance(lake.store, LocalStore)
    assert (lake.store.root, lake.branch) == (settings_home / "lake", "main")
    monkeypatch.setenv("ANGELIA_LAKE", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("ANGELIA_BRANCH", "replay-1")
    lake = open_lake()
    assert isinstance(lake.store, LocalStore)
    assert (lake.store.root, lake.branch) == (tmp_path / "elsewhere", "replay-1")


def test_a_named_branch_goes_before_the_settings_own(
    settings_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANGELIA_BRANCH", "replay-1")
    assert open_lake("main").branch == "main"
    settings = load_settings()
    monkeypatch.setenv("ANGELIA_BRANCH", "replay-2")
    assert open_lake(settings=settings).branch == "replay-1"
