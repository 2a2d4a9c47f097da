"""A long night: a million messages in real time, a broken provider, two killed workers.

Handshakes, streams and answers break at random, and workers are killed at random. Half the messages are
marketing, half transactional. The sandbox counts. Only `make soak` runs it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from angelia.delivery.manifest import sample_plan
from angelia.lake import Lake

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("ANGELIA_SOAK"), reason="a soak run: make soak"),
]
MESSAGES = int(os.environ.get("ANGELIA_SOAK_MESSAGES") or 1_000_000)
SECONDS = float(os.environ.get("ANGELIA_SOAK_SECONDS") or 600)
SEED = int(os.environ.get("ANGELIA_SOAK_SEED", "2026"))
BATCH, OPEN_BATCHES, IN_FLIGHT, WORKERS = 200, 4, 200, 2
# Those that break a connection come first: each may leave what is under way on it unknown.
RULES = """
seed: 7
connections:
  - {match: {probability: 0.1}, then: {handshake: reset}}
  - {match: {probability: 0.05}, then: {handshake: cut}}
  - {match: {probability: 0.05}, then: {handshake: after}}
rules:
  - {match: {probability: 0.00002}, then: {reset: before}}
  - {match: {probability: 0.00002}, then: {reset: after}}
  - {match: {probability: 0.00002}, then: {reset: body}}
  - {match: {probability: 0.00002}, then: {reset: cut}}
  - {match: {probability: 0.00002}, then: {header_bytes: 100000}}
  - {match: {probability: 0.00002}, then: {garbage: true}}
  - {match: {probability: 0.00005}, then: {goaway: lost}}
  - {match: {probability: 0.0001}, then: {rst: CANCEL}}
  - {match: {probability: 0.0001}, then: {silent: true}}
  - {match: {probability: 0.00005}, then: {goaway: true}}
  - {match: {probability: 0.00005}, then: {goaway: graceful}}
  - {match: {probability: 0.001}, then: {refuse: true}}
  - {match: {probability: 0.002}, then: {status: 503, error: UNAVAILABLE}}
  - {match: {probability: 0.00002}, then: {status: 429, error: QUOTA_EXCEEDED, retry_after: "1"}}
  - {match: {probability: 0.0005}, then: {delay_s: 0.3}}
  - {match: {probability: 0.001}, then: {status: 404, error: UNREGISTERED}}
  - {match: {probability: 0.0005}, then: {status: 400, error: INVALID_ARGUMENT}}
"""
BREAKS, STREAMS = (
    slice(0, 7),
    slice(7, 9),
)  # rules that break a connection, and those that leave one stream unanswered


def test_a_long_night(
    start_sandbox: Any, site_of: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    lake = Lake.open(str(tmp_path / "lake"))
    now = datetime.now(UTC)
    ds, hour = (now - timedelta(days=1)).date().isoformat(), now.strftime("%Y-%m-%dT%H")
    changes = {
        "not_after": datetime(2100, 1, 1, tzinfo=UTC),
        "guarantee": lambda n: "at_least_once" if n % 2 else "at_most_once",
    }
    per_minute = max(60_000, int(MESSAGES * 60 / (SECONDS * 0.75)))  # so that it takes about as long as asked
    sample_plan.make(
        lake, ds, MESSAGES, hours=(now.hour,), part_rows=25_000, quota_per_minute=per_minute, changes=changes
    )
    options = {
        "ds": ds,
        "hours": (hour,),
        "simulated": False,
        "batch_rows": BATCH,
        "slots": WORKERS,
        "request_timeout_s": 3.0,
        "batch_deadline_s": 30.0,
    }
    with start_sandbox(tmp_path / "sandbox", "--rules", str(rules)) as sandbox:
        sandbox.names["url"] = sandbox.names["raw_url"]
        site = site_of(tmp_path, sandbox, lake, ds)
        draw, crashes, runs, began = random.Random(SEED), 0, 0, time.monotonic()
        workers: list[Any] = []
        finished = 0
        while finished < WORKERS:  # the last ones find everything done
            while len(workers) < WORKERS:
                workers.append(site.fork(**options))
                runs += 1
            time.sleep(draw.uniform(2.0, 9.0))
            victim = draw.choice(workers)
            if victim.is_alive() and time.monotonic() - began < SECONDS:
                os.kill(victim.pid, signal.SIGKILL)
                victim.join(30)
            for process in [process for process in workers if not process.is_alive()]:
                assert process.exitcode in (0, 3, -signal.SIGKILL), f"seed {SEED}"
                crashes += process.exitcode == -signal.SIGKILL
                workers.remove(process)
                finished = finished + 1 if process.exitcode == 0 else 0
                if finished:
                    break
        for process in workers:
            process.join(60)
        seconds = time.monotonic() - began
        received, ledger, stats = sandbox.received(), site.ledger(ds), sandbox.stats()
    assert set(ledger) == site.dispatches, "unaccounted rows"
    plan = lake.read(lake.require("dispatch_manifest", ds=ds), ["dispatch_id", "guarantee"])
    guarantee = dict(zip(plan["dispatch_id"].to_pylist(), plan["guarantee"].to_pylist(), strict=True))
    window = (
        BATCH * OPEN_BATCHES * crashes
        + IN_FLIGHT * sum(stats["rules_applied"][BREAKS])
        + sum(stats["rules_applied"][STREAMS])
    )
    outcomes = {
        name: Counter(ledger[d] for d, g in guarantee.items() if g == name)
        for name in ("at_most_once", "at_least_once")
    }
    doubled = Counter(guarantee[dispatch] for dispatch, count in received.items() if count > 1)
    unsent = sum(
        d not in received
        for d, g in guarantee.items()
        if g == "at_least_once" and ledger[d] not in ("rejected", "skipped")
    )
    figures = {
        "messages": MESSAGES, "seconds": round(seconds), "runs": runs, "crashes": crashes,
        "connections": stats["connections"],
        "handshakes_broken": sum(stats["connection_rules_applied"]), "faults": sum(stats["rules_applied"]),
        "outcomes": outcomes,
        "doubled": doubled, "unaccounted": len(site.dispatches - set(ledger)), "unsent": unsent,
        "window": window,
    }  # fmt: skip
    with capsys.disabled():
        print("\nsoak:", json.dumps(figures))
    assert doubled["at_most_once"] == 0
    assert outcomes["at_most_once"]["ambiguous"] <= window
    assert set(outcomes["at_least_once"]) <= {"accepted", "rejected"}
    assert unsent == 0
    assert doubled["at_least_once"] <= window
    assert all(dispatch in received for dispatch, outcome in ledger.items() if outcome == "accepted")
    assert not any(
        dispatch in received for dispatch, outcome in ledger.items() if outcome in ("skipped", "deferred")
    )
    assert not any(
        ledger[d] == "rejected" and d in received for d, g in guarantee.items() if g == "at_most_once"
    )
