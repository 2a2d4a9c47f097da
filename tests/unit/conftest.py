"""What several rooms share, made once a worker: a planned night, PostgreSQL and MariaDB."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.catalog.servers import mariadb, postgresql

__all__ = ["mariadb", "postgresql"]


@pytest.fixture(scope="session")
def tight_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with a planned night of 600 people in three shards, its hours scarce.

    Tests that write copy it first.
    """
    from spark_jobs import plan_dispatch
    from tests.unit.spark_jobs.test_plan_dispatch import DS, settle

    home = tmp_path_factory.mktemp("tight")
    with pytest.MonkeyPatch.context() as patch:
        settle(patch, home, 8)
        plan_dispatch.main(["--ds", DS])
    return home
