"""Metrics: whole, readable by Prometheus' own parser, nothing personal in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from angelia.transport.wire import Answer

SAMPLE = re.compile(
    r'^angelia_deliver_[a-z_]+\{ds="[0-9-]+",channel="[a-z]+"(,outcome="[a-z]+")?\} [0-9.e+-]+$'
)


def test_a_delivery_leaves_its_counts(bench: Any, tmp_path: Path, fcm_error: Any) -> None:
    bench.plan(50)
    path = tmp_path / "angelia.prom"
    bench.deliver(
        lambda _, message: (
            fcm_error(404, "UNREGISTERED")
            if message["token"] < "sandbox-00000003"
            else Answer(200, b'{"name":"n"}')
        ),
        metrics_file=path,
    )
    lines = path.read_text().splitlines()
    assert 'angelia_deliver_rows_total{ds="2026-11-14",channel="fcm",outcome="accepted"} 47' in lines
    assert 'angelia_deliver_rows_total{ds="2026-11-14",channel="fcm",outcome="rejected"} 3' in lines
    assert 'angelia_deliver_requests_total{ds="2026-11-14",channel="fcm"} 50' in lines
    assert all(SAMPLE.match(line) for line in lines if not line.startswith("# "))
    assert "sandbox-" not in path.read_text()
    assert [item.name for item in tmp_path.iterdir() if item.name.startswith(".angelia")] == []


def test_a_file_that_cannot_be_written_stops_no_delivery(bench: Any, tmp_path: Path) -> None:
    bench.plan(5)
    assert bench.deliver(metrics_file=tmp_path / "no such folder" / "x.prom").delivered == {"accepted": 5}


def test_runs_add_up_in_the_machines_totals(bench: Any, tmp_path: Path) -> None:
    """Tasks of one hour are processes of their own, and end before anybody looks."""
    folder = tmp_path / "metrics"
    bench.plan(50)
    halted = bench.deliver(lambda *_: Answer(403, b"{}"), metrics_folder=folder)
    assert halted.halted
    bench.deliver(metrics_folder=folder)
    sent = len(bench.wire.requests)
    lines = (folder / "angelia_delivery.prom").read_text().splitlines()
    assert 'angelia_delivery_rows_total{channel="fcm",outcome="accepted"} 50' in lines
    assert 'angelia_delivery_halted_total{channel="fcm"} 1' in lines
    (requests,) = [line for line in lines if line.startswith("angelia_delivery_requests_total")]
    assert int(requests.split()[-1]) > sent


def test_totals_that_cannot_be_written_stop_no_delivery(bench: Any, tmp_path: Path) -> None:
    bench.plan(5)
    (tmp_path / "metrics").write_text("a file where the folder should be")
    assert bench.deliver(metrics_folder=tmp_path / "metrics").delivered == {"accepted": 5}
