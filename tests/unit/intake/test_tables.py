"""Tables of an older revision are completed, and their rows stay."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from angelia.delivery.ledger.ledger import Owner
from angelia.errors import AngeliaError
from angelia.intake.database import connect, writing
from angelia.intake.dispatching.batches import Batches
from angelia.intake.store import Accepted, IntakeStore
from angelia.intake.tables import (
    REVISION,
    addresses,
    batches,
    code_locks,
    code_uses,
    codes,
    schema,
    sends,
    steps,
)
from tests.unit.intake.conftest import HOUR_US, NOW_US, Make


def test_tables_of_the_first_revision_are_completed(engine: Engine, sqlite_url: str, draft: Make) -> None:
    (kept,) = IntakeStore(engine).accept([draft()])
    assert isinstance(kept, Accepted)
    with writing(engine) as connection:
        for table in (batches, steps, sends, codes, code_uses, code_locks):
            table.drop(connection)
        connection.execute(sa.update(schema).values(revision=1))
    again = connect(sqlite_url)
    batch, _ = Batches(again, Owner.this_process(), HOUR_US).claim(NOW_US, 1, "2026-11-26", "2026-11-28T04")
    assert batch is not None
    assert batch.members == (("shop", kept.id),)
    with again.connect() as connection:
        assert connection.execute(sa.select(sa.func.max(schema.c.revision))).scalar() == REVISION
    again.dispose()


def test_a_table_of_an_older_revision_gets_its_columns(engine: Engine, sqlite_url: str) -> None:
    row = {"user_id": "u1", "channel": "fcm", "address_hash": "0" * 64, "address": "token", "state": 1}
    with writing(engine) as connection:
        connection.execute(sa.insert(addresses), {**row, "said_us": NOW_US, "is_exported": 1})
        for name in ("app_version", "permission"):
            connection.execute(sa.text(f"ALTER TABLE intake_addresses DROP COLUMN {name}"))
        connection.execute(sa.update(schema).values(revision=5))
    again = connect(sqlite_url)
    with again.connect() as connection:
        (kept,) = connection.execute(sa.select(addresses)).mappings()
        assert (kept["address"], kept["app_version"], kept["permission"]) == ("token", None, None)
    again.dispose()


def test_columns_that_cannot_be_added_are_named(
    engine: Engine, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing(engine) as connection:
        connection.execute(sa.text("ALTER TABLE intake_addresses DROP COLUMN permission"))
        connection.execute(sa.update(schema).values(revision=5))
    monkeypatch.setattr("angelia.intake.database._complete", lambda _: None)
    with pytest.raises(AngeliaError, match="lacks columns") as refused:
        connect(sqlite_url)
    assert "alter tables" in refused.value.one_line()
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.max(schema.c.revision))).scalar() == 5
