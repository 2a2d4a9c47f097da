"""The whole loop with lake, models and reports in a bucket, on a real S3 server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from angelia.commands.loop import PROJECT, environment
from angelia.config import load_settings
from angelia.lake import Lake
from angelia.quality.pages import ReportPages
from tests import s3_server

DS = "2026-11-14"
pytestmark = [pytest.mark.s3server, pytest.mark.slow]


def test_the_loop_runs_with_lake_and_models_on_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "angelia home"
    with s3_server.chosen(tmp_path / "s3") as endpoint:
        for name, value in {
            "AWS_ACCESS_KEY_ID": s3_server.KEY,
            "AWS_SECRET_ACCESS_KEY": s3_server.KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "ANGELIA_CACHE": str(tmp_path / "cache"),
            "ANGELIA_S3_ENDPOINT": endpoint,
            "ANGELIA_LAKE": "s3://angelia/lake",
            "ANGELIA_MODELS": "s3://angelia/models",
            "ANGELIA_REPORTS": "s3://angelia/reports",
        }.items():
            monkeypatch.setenv(name, value)
        boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="angelia")
        done = subprocess.run(
            [sys.executable, "-m", "angelia.cli", "loop", "--users", "1500", "--json"],
            env={**os.environ, **environment(home), "ANGELIA_SHARD_BITS": "9"},
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=1500,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        summary = json.loads((home / "summary.json").read_text())
        lake = Lake.open("s3://angelia/lake", endpoint=endpoint)
        manifest = lake.require("dispatch_manifest", ds=DS)
        assert manifest.rows == sum(summary["delivered"].values()) > 300
        assert summary["manifest_rows"] == manifest.rows
        assert summary["report"] == f"s3://angelia/reports/{DS}.html"
        assert ReportPages(load_settings()).there([f"{DS}.html", f"{DS}-quality.html"]) == {
            f"{DS}.html",
            f"{DS}-quality.html",
        }
    assert not (home / "lake").exists()
    assert not (home / "models").exists()
