"""The model registry in a bucket: no local folder takes its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia.config import load_settings
from models.registry import FILES, Registry


@pytest.fixture
def in_a_bucket(s3_url: str, s3_endpoint: str, monkeypatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANGELIA_MODELS", f"{s3_url}/models")
    monkeypatch.setenv("ANGELIA_S3_ENDPOINT", s3_endpoint)
    return tmp_path


def test_models_live_in_the_bucket_that_settings_name(in_a_bucket: Path) -> None:
    registry = Registry.configured(load_settings())
    version = registry.add("2026-11-14", {name: name.encode() for name in FILES})
    registry.promote(version, actor="ada", reason="first", at="2026-11-15T02:00:00")
    assert Registry.configured(load_settings()).require_champion().version == version
    assert not list(in_a_bucket.iterdir())
