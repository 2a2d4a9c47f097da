"""The doctor finds what is missing, says how to get it, and leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from angelia import cli
from angelia.commands.doctor import Finding, examine


def findings() -> dict[str, Finding]:
    return {one.name: one for one in examine()}


def fake_java(folder: Path, version: str, modules: str) -> None:
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(
        f'#!/bin/sh\nif [ "$1" = -version ]; then echo \'openjdk version "{version}"\' >&2; else '
        f'echo "{modules}"; fi\n'
    )
    java.chmod(0o755)


def test_this_environment_is_whole(settings_home: Path) -> None:
    missing = [one.line() for one in examine() if not one.ok and one.essential]
    assert missing == []
    assert list(settings_home.iterdir()) == [], "asking about folders makes none"


def test_probe_of_an_existing_lake_leaves_nothing(settings_home: Path) -> None:
    (settings_home / "lake").mkdir()
    assert findings()["lake"].detail == "local folder, writable, conditional create honoured"
    assert [
        path for path in (settings_home / "lake").rglob("*") if path.is_file() or path.name == "doctor"
    ] == []


@pytest.mark.parametrize(
    ("version", "modules", "java_ok", "modules_ok"),
    [
        ("17.0.15", "java.base@17 jdk.incubator.vector@17", True, True),
        ("21.0.2", "jdk.incubator.vector@21", True, True),
        ("17.0.15", "java.base@17", True, False),
        ("11.0.20", "jdk.incubator.vector@11", False, True),
        ("1.8.0_402", "", False, False),
    ],
)
def test_java(
    tmp_path: Path,
    settings_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    modules: str,
    java_ok: bool,
    modules_ok: bool,
) -> None:
    fake_java(tmp_path / "jdk", version, modules)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    lines = findings()
    assert (lines["java"].ok, lines["java modules"].ok) == (java_ok, modules_ok)
    assert "full JDK 17" in lines["java"].fix


def test_no_java(tmp_path: Path, settings_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not findings()["java"].ok
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "gone"))
    assert "JAVA_HOME" in findings()["java"].detail


def test_jars_of_another_spark(tmp_path: Path, settings_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / "spark-core_2.13-4.2.0.jar").touch()
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    line = findings()["spark jars"]
    assert not line.ok
    assert "jars 4.2.0" in line.detail
    assert line.fix == "unset SPARK_HOME"


def test_bad_settings_and_unusable_places(
    tmp_path: Path, settings_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANGELIA_LEAD_HOURS", "3")
    assert "ANGELIA_LEAD_HOURS" in findings()["settings"].detail
    monkeypatch.delenv("ANGELIA_LEAD_HOURS")
    (tmp_path / "file").touch()
    monkeypatch.setenv("ANGELIA_LAKE", str(tmp_path / "file" / "lake"))
    monkeypatch.setenv("ANGELIA_CATALOG", "nosuchdatabase://host/angelia")
    monkeypatch.setenv("ANGELIA_MODELS", str(tmp_path / "file" / "models"))
    lines = findings()
    assert not any(lines[name].ok for name in ("lake", "catalog", "models"))


def test_command(
    settings_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JAVA_HOME", "nowhere")
    with pytest.raises(SystemExit) as stop:
        cli.main(["doctor", "--json"])
    out = capsys.readouterr()
    assert stop.value.code == 2
    assert json.loads(out.out)["ok"] is False
    assert out.err.startswith("error: missing: java; install a full JDK 17")
    assert len(out.err.splitlines()) == 1
