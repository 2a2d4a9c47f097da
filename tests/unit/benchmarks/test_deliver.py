"""The delivery benchmark runs and counts what it says, at a size that measures nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_names_are_listed_one_a_line() -> None:
    done = run("--list")
    assert done.returncode == 0
    assert "deliver" in done.stdout.split()
    assert not any(name.startswith("_") for name in done.stdout.split())


def test_an_unknown_name_is_an_error_of_usage() -> None:
    done = run("no_such_benchmark")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.integration
def test_a_small_run_gives_every_figure() -> None:
    done = run(
        "deliver",
        "--messages",
        "300",
        "--latency-messages",
        "200",
        "--peer-messages",
        "0",
        "--channels",
        "fcm",
        "apns",
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    names = (
        "fcm_messages_per_cpu_s",
        "apns_messages_per_cpu_s",
        "messages_per_s",
        "worker_added_p99_ms",
        "peak_rss_mib",
        "rss_growth_pct",
    )
    assert all(isinstance(figures["ours"][name], int | float) for name in names)
    assert figures["benchmark"] == "deliver"
    assert set(figures) == {"benchmark", "params", "machine", "ours", "peers", "runs", "notes"}
    assert figures["machine"]["cores"] >= 1
