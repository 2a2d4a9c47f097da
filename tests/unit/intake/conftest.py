"""An intake database on each store, and drafts for it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Engine
from starlette.exceptions import StarletteDeprecationWarning

from angelia.intake.api import create_app
from angelia.intake.codes import Codes, Secret
from angelia.intake.database import connect
from angelia.intake.keys import SCOPES, Keys
from angelia.intake.message import Draft, now, parse_message

with warnings.catch_warnings():
    # It wants the successor of httpx, which is not in the lock; httpx does.
    warnings.simplefilter("ignore", StarletteDeprecationWarning)
    from starlette.testclient import TestClient


NOW_US = 1_790_000_000_000_000


HOUR_US = 3_600_000_000
SMALL = {"user_id": "anna", "campaign_id": "cart", "class": "marketing"}
SECRET = Secret(b"k" * 32)
Ask = Callable[..., Any]
Make = Callable[..., Draft]


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


@pytest.fixture
def server(engine: Engine, tmp_path: Path) -> Iterator[TestClient]:
    app = create_app(engine, tmp_path / "access.jsonl", Codes(engine, SECRET))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def ask(server: TestClient, engine: Engine) -> Ask:
    """Return a function that asks with a key of all scopes, or of those given."""
    keys = Keys(engine)
    texts: dict[Any, str] = {}

    def send(
        method: str,
        path: str,
        body: Any = None,
        *,
        client: str = "shop",
        scopes: tuple[str, ...] = SCOPES,
        per_second: int = 10_000,
    ) -> Any:
        named = (client, scopes, per_second)
        if named not in texts:
            texts[named] = keys.make(client, scopes, per_second, now())[1]
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {texts[named]}"}
        return server.request(method, path, content=content, headers=headers)

    return send
