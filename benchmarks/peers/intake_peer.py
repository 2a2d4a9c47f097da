"""The peer of `intake`: FastAPI with SQLAlchemy, one row a transaction.

The same table, the same form of messages, the same pragmas of SQLite, no keys. `INTAKE_PEER_URL` names the
database.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated

import sqlalchemy as sa
from fastapi import Depends, FastAPI
from pydantic import ConfigDict
from sqlalchemy.orm import Session

from angelia.intake.database import connect
from angelia.intake.message import Draft, IntakeMessage, draft, now
from angelia.intake.tables import messages

_ENGINE = connect(os.environ["INTAKE_PEER_URL"])
app = FastAPI()


class LaxMessage(IntakeMessage):
    """A message as the framework parses it: JSON to Python first, where a time is still a text."""

    model_config = ConfigDict(strict=False)


def session() -> Iterator[Session]:
    """Yield a session a request."""
    with Session(_ENGINE.execution_options(angelia_write=True)) as made:
        yield made


@app.post("/v1/messages", status_code=202)
def accept(message: LaxMessage, session: Annotated[Session, Depends(session)]) -> dict[str, str]:
    """Look up the key, insert the row, commit."""
    made = draft(message, "peer", now())
    assert isinstance(made, Draft)
    row = made.row
    known = session.execute(
        sa.select(messages.c.id).where(messages.c.client == "peer", messages.c.key_hash == row["key_hash"])
    ).scalar()
    if known is None:
        session.execute(sa.insert(messages), row)
    session.commit()
    return {"id": known or row["id"]}
