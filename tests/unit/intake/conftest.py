"""An intake database on each store, and drafts for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from angelia.intake.database import connect
from angelia.intake.message import Draft, parse_message
from tests.unit.catalog.conftest import mariadb, postgresql

__all__ = ["mariadb", "postgresql"]

NOW_US = 1_790_000_000_000_000
HOUR_US = 3_600_000_000


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'intake.db'}"


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[Engine]:
    engine = connect(sqlite_url)
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def any_engine(request: pytest.FixtureRequest, sqlite_url: str) -> Iterator[Engine]:
    """Yield an engine on an empty intake database of each kind."""
    if request.param == "sqlite":
        yield request.getfixturevalue("engine")
        return
    with request.getfixturevalue(request.param).database() as url:
        engine = connect(url)
        yield engine
        engine.dispose()


@pytest.fixture
def draft() -> Callable[..., Draft]:
    """Return a function that makes a draft of a small message with fields changed."""

    def make(client: str = "shop", now_us: int = NOW_US, **fields: Any) -> Draft:
        document = {"user_id": "u1", "campaign_id": "cart", "class": "marketing", **fields}
        parsed = parse_message(json.dumps(document).encode(), client, now_us)
        assert isinstance(parsed, Draft), parsed
        return parsed

    return make
