"""A long night: many messages, a provider that misbehaves at random, workers that die at random. Only with `make soak`."""

from __future__ import annotations

import os
import random
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from angelia.delivery import sample_plan
from angelia.lake import Lake

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("ANGELIA_SOAK"), reason="a soak run: make soak"),
]
MESSAGES = int(os.environ.get("ANGELIA_SOAK_MESSAGES") or 1_000_000)
SECONDS = float(os.environ.get("ANGELIA_SOAK_SECONDS") or 600)
SEED = int(os.environ.get("ANGELIA_SOAK_SEED", "2026"))
OPEN_ROWS, IN_FLIGHT = 4 * 2_000, 200
RULES = """
seed: 7
rules:
  - {match: {probability: 0.002}, then: {status: 503, error: UNAVAILABLE}}
  - {match: {probability: 0.0005}, then: {status: 429, error: QUOTA_EXCEEDED, retry_after: "1"}}
  - {match: {probability: 0.001}, then: {refuse: true}}
  - {match: {probability: 0.00005}, then: {goaway: true}}
  - {match: {probability: 0.00005}, then: {reset: after}}
  - {match: {probability: 0.00005}, then: {reset: before}}
  - {match: {probability: 0.0005}, then: {delay_s: 0.3}}
  - {match: {probability: 0.001}, then: {status: 404, error: UNREGISTERED}}
  - {match: {probability: 0.0005}, then: {status: 400, error: INVALID_ARGUMENT}}
"""


def test_a_long_night(start_sandbox: Any, site_of: Any, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    lake = Lake.open(str(tmp_path / "lake"))
    sample_plan.make(lake, "2026-11-14", MESSAGES, changes={"not_after": datetime(2100, 1, 1, tzinfo=UTC)})
    with start_sandbox(tmp_path / "sandbox", "--rules", str(rules)) as sandbox:
        site = site_of(tmp_path, sandbox, lake)
        draw, crashes, code = random.Random(SEED), 0, None
        end = time.monotonic() + SECONDS
        while code != 0:
            process = site.fork(batch_rows=2_000)
            process.join(draw.uniform(3.0, 20.0) if time.monotonic() < end else 600)
            if process.exitcode is None:
                os.kill(process.pid, signal.SIGKILL)
                process.join(30)
                crashes += 1
            code = process.exitcode
            assert code in (0, 3, -signal.SIGKILL), f"seed {SEED}"
        received, ledger = sandbox.received(), site.ledger()
        stats = sandbox.stats()["outcomes"]
    assert set(ledger) == site.dispatches, "unaccounted rows"
    assert max(received.values()) == 1, "doubled"
    lost = {dispatch for dispatch, outcome in ledger.items() if outcome == "ambiguous"}
    # A broken connection leaves what was under way on it unknown; a crash, the open batches.
    assert len(lost) <= crashes * OPEN_ROWS + IN_FLIGHT * (MESSAGES * 0.00015 * 3 + stats.get("broken_before", 0))
    assert all(dispatch in received for dispatch, outcome in ledger.items() if outcome == "accepted")
    assert not any(dispatch in received for dispatch, outcome in ledger.items() if outcome in ("rejected", "skipped", "deferred"))
    print(f"soak: {MESSAGES} messages, {crashes} crashes, {len(lost)} ambiguous, doubled 0, unaccounted 0")
