"""Batches of the intake as parts: sealed once, and apart from the plan of the same hour."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.delivery.manifest import parts, sample_plan
from angelia.delivery.manifest.batches import is_of_batch, seal_batch, sealed_batch
from angelia.lake import Commit, Lake
from tests.unit.delivery.given import DS, HOUR, START

BATCH = "ab" * 16


def publish(lake: Lake, first: int, n: int = 3) -> Commit:
    keys = {"send_hour": HOUR, "channel": "fcm", "priority": "high", "part": "0000"}
    with lake.attempt(parts.INTAKE, ds=DS, send_hour=HOUR, part=BATCH) as attempt:
        attempt.write(sample_plan.rows(first, n, START), "part-0000.parquet", keys=keys)
        return attempt.publish(params={"first": first})


def test_the_first_seal_of_a_batch_stands(lake: Lake) -> None:
    assert sealed_batch(lake, DS, HOUR, BATCH) is None
    first, second = publish(lake, 0), publish(lake, 10)
    assert seal_batch(lake, second, "now").ref == second.ref
    assert seal_batch(lake, first, "later").ref == second.ref
    sealed = sealed_batch(lake, DS, HOUR, BATCH)
    assert sealed is not None
    assert sealed.ref == second.ref


def test_batch_and_plan_of_an_hour_keep_apart(bench: Any) -> None:
    bench.plan(2)
    commit = publish(bench.lake, 100)
    (part,) = parts.parts_of(bench.lake, commit, HOUR)
    assert (part.batch, part.n_rows, part.kind) == (BATCH, 3, "plan")
    parts.follow_up(bench.lake, part, [1], "deferred", f"{part.id[:32]}.deferred")
    assert [each.rows for each in parts.parts_of(bench.lake, commit, HOUR)] in ([None, (1,)], [(1,), None])
    (planned,) = bench.parts()
    assert (planned.batch, planned.n_rows) == ("", 2)
    assert part.leaf != planned.leaf
    assert part.fallover_leaf["part"].startswith(f"{BATCH}.")


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (f"{BATCH}.fcm.high.0000", True),
        (f"{HOUR}.{BATCH}.fcm.high.0000", True),
        ("fcm.high.0000", False),
        ("fcm.high.0000.0123456789ab", False),
        (f"{HOUR}.fcm.high.0000", False),
        (BATCH, False),
    ],
)
def test_a_batchs_partitions_are_known_by_name(part: str, expected: bool) -> None:
    assert is_of_batch({"part": part}) is expected
