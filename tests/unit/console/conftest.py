"""The console in this process, asked by people whom Airflow's own auth manager judges."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from datetime import UTC, datetime
from pathlib import Path

import pytest

from angelia.config import load_settings

# Airflow reads its home when it is first imported.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__CORE__UNIT_TEST_MODE", "True")

NOW = datetime(2026, 11, 15, 9, 30, tzinfo=UTC)
CAMPAIGNS = Path(__file__).resolve().parents[3] / "campaigns"
OWN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="session")
def auth_manager():
    """Return Airflow's simple auth manager where the API server keeps it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Airflow's own
        from airflow.api_fastapi import app
        from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

        manager = SimpleAuthManager()
        before, app._AuthManagerState.instance = app._AuthManagerState.instance, manager
        yield manager
        app._AuthManagerState.instance = before


class AsUser:
    """Puts a user where Airflow's own middleware puts who is logged in; nobody without a role."""

    def __init__(self, app):
        self.app, self.role = app, None

    async def __call__(self, scope, receive, send):
        """Answer one request."""
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
        from airflow.api_fastapi.core_api.security import USER_INJECTED_BY_TRUSTED_MIDDLEWARE

        if self.role:
            user = SimpleAuthManagerUser(username=f"ada ({self.role})", role=self.role)
            trusted = USER_INJECTED_BY_TRUSTED_MIDDLEWARE
            scope.setdefault("state", {}).update(user=user, user_authenticated_via=trusted)
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def built(auth_manager):
    """Return the console, built once; what it keeps is keyed by each test's own lake."""
    from angelia.console.access import AirflowAccess
    from angelia.console.app import build_app
    from angelia.console.engine import Engine

    return build_app(AirflowAccess(), Engine(lambda: NOW))


@pytest.fixture
def console(settings_home, lake, built):
    """Return a function from a role of Airflow to a client; without one, nobody is logged in."""
    from starlette.testclient import TestClient

    apart = AsUser(built)

    def client(role=None):
        apart.role = role
        made = TestClient(apart, base_url="http://localhost", follow_redirects=False)
        made.headers.update(OWN)
        return made

    client.app = built.app
    return client


@pytest.fixture(scope="session")
def databases(tmp_path_factory):
    """Return a folder with two catalogs: one is empty, one has the sample documents."""
    from angelia.catalog.apply import carry_out, plan
    from angelia.catalog.store import CatalogStore

    folder = tmp_path_factory.mktemp("catalogs")
    for name in ("empty", "sample"):
        store = CatalogStore.open(f"sqlite:///{folder / name}.db")
        if name == "sample":
            carry_out(store, plan(store, [CAMPAIGNS]), actor="test", at=NOW)
        store.engine.dispose()
    return folder


@pytest.fixture
def catalog_of(settings_home, databases):
    """Return a function that puts one of these catalogs into the test's home, and opens it."""
    from angelia.catalog.store import CatalogStore

    def put(name):
        shutil.copyfile(databases / f"{name}.db", settings_home / "catalog.db")
        return CatalogStore.open(load_settings().catalog_url())

    return put


@pytest.fixture
def catalog(console, catalog_of):
    """Return the store of the sample catalog."""
    return catalog_of("sample")


@pytest.fixture
def night(tight_home, console, lake, settings_home):
    """Return the test's own lake, with a planned night of 600 people in it."""
    shutil.copytree(tight_home / "lake", settings_home / "lake", dirs_exist_ok=True)
    return lake


@pytest.fixture(scope="session")
def indexed(tmp_path_factory):
    """Return a folder with an indexed night of 600 people, whose policy holds out a fifth."""
    import pyarrow as pa

    from angelia.catalog.documents import canonical, parse_document
    from angelia.contracts import arrow, dataset
    from angelia.contracts.rows import valid_rows
    from angelia.lake.configured import open_lake
    from spark_jobs import build_bitmaps, select_audiences
    from tests.planned_night import DS, put
    from tests.user_index import append_people

    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("indexed")
        patch.setenv("ANGELIA_HOME", str(home))
        patch.setenv("ANGELIA_SPARK_MASTER", "inline")
        lake = open_lake()
        index = append_people(lake, [valid_rows("user_index", 600)], shard_bits=14)
        with lake.attempt("user_features", ds=DS) as attempt:
            attempt.write(valid_rows("user_features", 600, ds=DS), "part-0000.parquet", shards=(0, 0))
            attempt.publish(inputs=[index])
        for name in ("user_days", "user_pushes"):
            put(lake, name, arrow.schema(dataset(name)).empty_table())
        policy = {
            "kind": "policy", "id": "default", "salt": "s", "holdout": {"share_pct": 20.0, "salt": "h"},
            "explore": {"slot_share_pct": 5, "epsilon": 0.1},
        }  # fmt: skip
        row = {"kind": "policy", "id": "default", "version": 1, "body": canonical(parse_document(policy))}
        schema = arrow.schema(dataset("catalog_snapshot"))
        put(lake, "catalog_snapshot", pa.Table.from_pylist([row], schema=schema), meta={"stopped": []})
        build_bitmaps.main(["--ds", DS])
        select_audiences.main(["--ds", DS])
    return home / "lake"


@pytest.fixture
def known(console, catalog, indexed, settings_home):
    """Put that lake into the test's home."""
    shutil.copytree(indexed, settings_home / "lake", dirs_exist_ok=True)
    return catalog
