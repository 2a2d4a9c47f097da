"""What `make dist` built is whole, and enough in an environment that holds nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import angelia

PROJECT = Path(__file__).resolve().parents[2]
SHIPPED = ("angelia", "models", "spark_jobs", "sql", "dags", "campaigns")
DAY = "2026-11-14"
pytestmark = [pytest.mark.dist, pytest.mark.slow]


@pytest.fixture(scope="module")
def wheel() -> Path:
    wheels = list((PROJECT / "dist").glob("*.whl"))
    assert [path.name for path in wheels] == [f"angelia-{angelia.__version__}-py3-none-any.whl"]
    assert (PROJECT / "dist" / f"angelia-{angelia.__version__}.tar.gz").is_file()
    return wheels[0]


def test_wheel_holds_every_file_that_is_kept(wheel: Path) -> None:
    # The wheel is built from the sdist, so what one of them lacks is missing here.
    listed = subprocess.run(
        ["git", "ls-files", *SHIPPED], cwd=PROJECT, check=True, capture_output=True, text=True
    )
    with zipfile.ZipFile(wheel) as archive:
        missing = sorted(set(listed.stdout.splitlines()) - set(archive.namelist()))
    assert missing == []


def test_wheel_in_an_empty_environment_works(wheel: Path, tmp_path: Path) -> None:
    folder = tmp_path / "an environment"
    uv = [str(Path(sys.executable).parent / "uv"), "--quiet"]
    run([*uv, "venv", "--python", sys.executable, str(folder)])
    # The wheel's own requirements, in the versions that the tests run with.
    pins = (
        "--constraints",
        str(PROJECT / "requirements.lock"),
        "--overrides",
        str(PROJECT / "overrides.txt"),
    )
    run([*uv, "pip", "install", "--python", str(folder), *pins, str(wheel)])
    command, python = str(folder / "bin" / "angelia"), str(folder / "bin" / "python")
    env = {
        **{name: os.environ[name] for name in ("PATH", "LANG", "JAVA_HOME") if name in os.environ},
        "HOME": str(tmp_path),
        "ANGELIA_HOME": str(tmp_path / "home"),
        "ANGELIA_SHARD_BITS": "9",
    }
    site = Path(run([python, "-c", "import angelia; print(angelia.__path__[0])"], env=env).strip()).parent
    assert site.is_relative_to(folder)
    assert json.loads(run([command, "doctor", "--json"], env=env))["ok"]
    run([command, "catalog", "apply", str(site / "campaigns"), "--actor", "test", "--on", DAY], env=env)
    run([command, "world", "create", "--users", "300", "--days", "10", "--ds", DAY], env=env)
    # Spark, training, the registry: what the first night begins with.
    made = json.loads(run([command, "bootstrap", "--ds", DAY, "--train-days", "3", "--json"], env=env))
    assert made["users"] == 300
    tables = (
        "import angelia.effects.tables as t; print(all((t.SQL / n / 'query.sql').is_file() for n in t.ORDER))"
    )
    assert run([python, "-c", tables], env=env).strip() == "True"


def run(words: list[str], env: dict[str, str] | None = None) -> str:
    """Run a command outside this project's folder and return what it printed."""
    done = subprocess.run(
        words, env=env, cwd="/", capture_output=True, text=True, timeout=1500, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{words[0]}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout
