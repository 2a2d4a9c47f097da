"""The archive of classes: whole or absent, and without it jobs only start slower."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spark_jobs.running import archive as module


def test_a_failure_leaves_no_archive_and_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(folder: str) -> None:
        assert Path(folder).is_dir()
        assert f"{folder}/spark.jsa" in os.environ["SPARK_SUBMIT_OPTS"]
        raise OSError("CANARY")

    monkeypatch.setenv("SPARK_SUBMIT_OPTS", "")
    monkeypatch.setattr(module.sys, "prefix", str(tmp_path))
    monkeypatch.setattr(module, "SPARK_ARCHIVE", tmp_path / "spark.jsa")
    monkeypatch.setattr(module, "_work", fail)
    assert module.main() == 0
    shown = capsys.readouterr().err
    assert "no class archive (OSError): Spark jobs start slower" in shown
    assert "CANARY" not in shown
    assert list(tmp_path.iterdir()) == [], "the folder it worked in is gone"


def test_what_the_jvm_wrote_is_moved_into_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPARK_SUBMIT_OPTS", "")
    monkeypatch.setattr(module.sys, "prefix", str(tmp_path))
    monkeypatch.setattr(module, "SPARK_ARCHIVE", tmp_path / "spark.jsa")
    monkeypatch.setattr("pyspark.SparkContext._gateway", None)
    monkeypatch.setattr(module, "_work", lambda folder: (Path(folder) / "spark.jsa").write_bytes(b"x"))
    assert module.main() == 0
    assert (tmp_path / "spark.jsa").read_bytes() == b"x"
    assert "class archive for Spark" in capsys.readouterr().err
