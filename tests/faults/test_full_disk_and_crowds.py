"""A disk that takes nothing more, and eight workers on one manifest."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from angelia.delivery import sample_plan
from angelia.lake import Lake

pytestmark = pytest.mark.integration


def test_a_full_disk_means_no_send_and_the_next_run_finishes(sandbox: Any, new_site: Any) -> None:
    """RLIMIT_FSIZE: writing fails as it does on a full disk. An intent that cannot be written is not sent."""
    site = new_site("at_most_once")
    full = site.fork(limit=100)  # an intent is larger than 100 bytes, an empty marker is not
    full.join(60)
    assert full.exitcode == 2
    assert not sandbox.received().keys() & site.dispatches
    assert not list(site.lake.store.list("intents"))
    again = site.fork(takeover=True)
    again.join(60)
    assert again.exitcode == 0
    assert set(site.ledger().values()) == {"accepted"}
    assert all(sandbox.received()[dispatch] == 1 for dispatch in site.dispatches)


def test_a_disk_that_fills_up_while_sending_doubles_nothing(sandbox: Any, new_site: Any) -> None:
    """Intents still fit, outcomes do not: what was sent is unknown to the ledger, so it is ambiguous, never sent again."""
    site = new_site("at_most_once")
    full = site.fork(limit=1000)
    full.join(60)
    assert full.exitcode == 2
    sent = sandbox.received().keys() & site.dispatches
    assert sent
    again = site.fork(takeover=True)
    again.join(60)
    assert again.exitcode == 0
    ledger, received = site.ledger(), sandbox.received()
    assert set(ledger) == site.dispatches
    assert max(received[dispatch] for dispatch in site.dispatches if dispatch in received) == 1
    assert {ledger[dispatch] for dispatch in sent} <= {"ambiguous", "accepted"}


def test_eight_workers_on_one_manifest_send_every_row_once(start_sandbox: Any, site_of: Any, tmp_path: Path) -> None:
    """Six parts, and answers that take their time, so that all eight are at it at once."""
    draw = random.Random(8)
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n  - {then: {delay_s: 0.5}}\n")
    lake = Lake.open(str(tmp_path / "lake"))
    sample_plan.make(lake, "2026-11-14", 600, part_rows=100)
    with start_sandbox(tmp_path / "sandbox", "--rules", str(rules)) as sandbox:
        site = site_of(tmp_path, sandbox, lake)
        workers = []
        for _ in range(8):
            workers.append(site.fork())
            time.sleep(draw.random() * 0.05)
        for process in workers:
            process.join(120)
        received = sandbox.received()
    assert {process.exitcode for process in workers} <= {0, 3}  # 3: a part was somebody else's
    assert received == dict.fromkeys(site.dispatches, 1)
    assert set(site.ledger().values()) == {"accepted"}
