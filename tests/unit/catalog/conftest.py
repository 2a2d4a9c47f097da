"""A small whole catalog as YAML, and stores for it: SQLite, PostgreSQL and MariaDB.

Tests share one migrated catalog a server, emptied before each; tests of the schema have databases of
their own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from angelia.catalog.store import CatalogStore
from tests.unit.catalog.servers import Server

SMALL = """\
kind: policy
id: default
holdout: {share_pct: 2.0, salt: g}
explore: {slot_share_pct: 5.0, epsilon: 0.1}
salt: s
---
kind: channel
id: fcm
provider: fcm_v1
capacity_per_hour: 100
quota_per_minute: 100
---
kind: channel
id: sms
provider: twilio
enabled: false
capacity_per_hour: 100
quota_per_minute: 100
---
kind: audience
id: everyone
predicate: "reachable('fcm')"
---
kind: audience
id: women
predicate: "in_audience('everyone') AND gender = 'f'"
---
kind: template
id: sale
channel: fcm
variables: {item: {}, level: {source: user.membership_level, default: 0}}
variants:
  en: {title: "Sale: {{ item }}", body: "{% if level >= 2 %}Members first. {% endif %}{{ item }} for less."}
  de: {title: "Angebot: {{ item }}", body: "{{ item }} im Angebot"}
link: "https://shop.example/{{ category }}?c={{ campaign_id }}"
---
kind: material
id: sale_camera
template: sale
category: camera
fields: {item: cameras}
---
kind: material
id: sale_books
template: sale
category: books
fields: {item: books}
---
kind: experiment
id: copy
salt: c
arms: [{name: a, share_pct: 50}, {name: b, share_pct: 50, materials: [sale_books]}]
---
kind: campaign
id: sale
name: Sale
topic: promo
owner: growth
audience: women
materials: [sale_camera, sale_books]
channels: [fcm, sms]
value_per_open: 0.05
occurrence: {every: weekly, weekdays: [sat, sun]}
start_date: 2026-11-01
end_date: 2036-11-30
send_window: {start: 9, end: 21}
holdout_pct: 5
experiment: copy
"""


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Return a kind of store; each test that asks for a catalog runs on all three."""
    return str(request.param)


@pytest.fixture
def new_catalog_url(
    database_kind: str, request: pytest.FixtureRequest, settings_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Yield the address of a database without a table, for tests of the schema."""
    if database_kind == "sqlite":
        yield f"sqlite:///{settings_home / 'catalog.db'}"
        return
    server: Server = request.getfixturevalue(database_kind)
    with server.database() as url:
        monkeypatch.setenv("ANGELIA_CATALOG", url)
        yield url


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a SQLite catalog with its tables; copy it."""
    path = tmp_path_factory.mktemp("migrated") / "catalog.db"
    CatalogStore.open(f"sqlite:///{path}").engine.dispose()
    return path


@pytest.fixture
def catalog_url(
    database_kind: str, request: pytest.FixtureRequest, settings_home: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Return the address of a catalog with its tables and no row, on each store.

    Commands read it from ANGELIA_CATALOG; SQLite is their default.
    """
    if database_kind == "sqlite":
        shutil.copyfile(request.getfixturevalue("migrated_file"), settings_home / "catalog.db")
        return f"sqlite:///{settings_home / 'catalog.db'}"
    server: Server = request.getfixturevalue(database_kind)
    url = server.emptied()
    monkeypatch.setenv("ANGELIA_CATALOG", url)
    return url


@pytest.fixture
def store(catalog_url: str) -> CatalogStore:
    return CatalogStore.open(catalog_url)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the small catalog, edited by (old, new) pairs, to a folder.

    Each call makes a new folder and returns it.
    """

    def write_edited(*edits: tuple[str, str], more: str = "") -> Path:
        text = SMALL
        for old, new in edits:
            assert text.count(old) >= 1, old
            text = text.replace(old, new, 1)
        folder = tmp_path / f"campaigns {len(list(tmp_path.glob('campaigns *')))}"
        folder.mkdir()
        (folder / "all.yaml").write_text(text + (f"---\n{more}" if more else ""), encoding="utf-8")
        return folder

    return write_edited
