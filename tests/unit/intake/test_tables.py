"""Tables of an older revision are completed, and their rows stay."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from angelia.delivery.ledger.ledger import Owner
from angelia.intake.database import connect, writing
from angelia.intake.dispatching.batches import Batches
from angelia.intake.store import Accepted, IntakeStore
from angelia.intake.tables import (
    REVISION,
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
