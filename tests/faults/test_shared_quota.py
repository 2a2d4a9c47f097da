"""Real workers of one home send side by side and in turns; a real sandbox counts.

The promise: no minute of all of them holds more than a channel's quota, nor than a campaign's speed limit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.delivery.manifest import sample_plan
from angelia.lake import Lake
from tests.unit.delivery.given import DS, FAR, HOUR, START

pytestmark = pytest.mark.integration
WORKERS, PER_MINUTE, ROWS = 4, 6, 3


def plan(lake: Lake, quota: int, speed: int | None) -> None:
    """Write a part for each of two rounds of workers."""
    campaign = {"id": sample_plan.CAMPAIGN, "speed_limit_per_minute": speed}
    documents = [
        *sample_plan.documents(quota),
        {"kind": "campaign", "id": sample_plan.CAMPAIGN, "version": 1, "body": json.dumps(campaign)},
    ]
    with lake.attempt("catalog_snapshot", ds=DS) as attempt:
        schema = arrow.schema(dataset("catalog_snapshot"))
        attempt.write(pa.Table.from_pylist(documents, schema=schema), "part-0000.parquet")
        snapshot = attempt.publish()
    keys = {"send_hour": HOUR, "channel": "fcm", "priority": "medium"}
    first = 900_000_000 if speed else 910_000_000
    with lake.attempt("dispatch_manifest", ds=DS) as attempt:
        for part in range(2 * WORKERS):
            rows = sample_plan.rows(first + part * ROWS, ROWS, START, not_after=FAR)
            attempt.write(rows, f"part-{part:04d}.parquet", keys=keys)
        attempt.publish(inputs=[snapshot])


@pytest.mark.parametrize(("quota", "speed"), [(PER_MINUTE, None), (60_000, PER_MINUTE)])
def test_all_workers_of_a_home_keep_one_pace(
    quota: int, speed: int | None, site_of: Any, sandbox: Any, tmp_path: Path
) -> None:
    lake = Lake.open(str(tmp_path / "lake"))
    plan(lake, quota, speed)
    site = site_of(tmp_path, sandbox, lake)
    # Workers of several channels divide a campaign's limit by nothing.
    options = {
        "simulated": False, "slots": 1 if speed else WORKERS, "batch_deadline_s": 1.5, "paced_s": 1.0,
        "pace_folder": tmp_path / "pace",
    }  # fmt: skip
    for first in (0, WORKERS):
        workers = [site.fork(part=first + n, **options) for n in range(WORKERS)]
        for worker in workers:
            worker.join(60)
            assert worker.exitcode in (0, 3)
    assert 1 <= len(site.received()) <= PER_MINUTE, "all within a minute"
    assert len(site.ledger()) == 2 * WORKERS * ROWS, "what had to wait is accounted for"
