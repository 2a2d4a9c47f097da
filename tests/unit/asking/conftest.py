"""The tight night of the planner's own tests, planned once a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from angelia.lake import Lake
from spark_jobs import plan_dispatch
from tests.unit.spark_jobs.test_plan_dispatch import DS, settle


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """Yield a lake with a planned night of 600 people in three shards; do not write to it."""
    with pytest.MonkeyPatch.context() as patch:
        lake = settle(patch, tmp_path_factory.mktemp("tight"), 8)
        plan_dispatch.main(["--ds", DS])
        yield lake
