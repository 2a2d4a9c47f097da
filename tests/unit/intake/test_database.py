"""Connecting makes the tables once, and a database that is down is one line."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from angelia.errors import AngeliaError, InvalidInput
from angelia.intake.database import Unavailable, connect, writing
from angelia.intake.store import IntakeStore
from angelia.intake.tables import (
    messages,
    schema,
)
from tests.unit.intake.conftest import Make


def test_a_database_that_is_down_is_unavailable(engine: Engine, draft: Make) -> None:
    with writing(engine) as connection:
        messages.drop(connection)
    with pytest.raises(Unavailable, match="does not answer"):
        IntakeStore(engine).accept([draft()])


def test_newer_tables_are_left_alone(engine: Engine, sqlite_url: str) -> None:
    with writing(engine) as connection:
        connection.execute(sa.insert(schema), {"revision": 99})
    with pytest.raises(AngeliaError, match="schema 99"):
        connect(sqlite_url)


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "postgresql+nodriver://u:secret@h/d"])
def test_an_address_that_is_none_is_one_line(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        connect(url)
    assert "secret" not in caught.value.one_line()


def test_processes_meeting_at_an_empty_file_agree(tmp_path: Path) -> None:
    url, engines = f"sqlite:///{tmp_path / 'new.db'}", []
    threads = [threading.Thread(target=lambda: engines.append(connect(url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(engines) == 4
    for engine in engines:
        engine.dispose()
