"""The peer of `receive`: plain FastAPI and SQLite, a row a transaction.

The same route, body and signature; the same pragmas of SQLite as the intake's. `RECEIVE_PEER_FILE` names the
database, `RECEIVE_PEER_SECRET` the callers' secret.
"""

from __future__ import annotations

import os
import sqlite3
import time
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from angelia.delivery.channels.webhook import verify

app = FastAPI()
_SECRET = os.environ["RECEIVE_PEER_SECRET"].encode()
_INSERT = "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?)"


class PeerEvent(BaseModel):
    """An event as callers write it."""

    id: Annotated[str, Field(min_length=1, max_length=200)]
    dispatch_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    kind: str
    at: str
    reason: str | None = None


class PeerEvents(BaseModel):
    """A request's body."""

    events: Annotated[list[PeerEvent], Field(min_length=1, max_length=1000)]


def connect() -> sqlite3.Connection:
    """Return a connection that waits for the disk at each commit."""
    connection = sqlite3.connect(os.environ["RECEIVE_PEER_FILE"], timeout=30, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


with connect() as _first:
    _first.execute(
        "CREATE TABLE IF NOT EXISTS events"
        " (id TEXT, dispatch_id TEXT, kind TEXT, at TEXT, reason TEXT, PRIMARY KEY (id, dispatch_id, kind))"
    )


def insert(document: PeerEvents) -> None:
    """Insert each event, a row a transaction."""
    connection = connect()
    try:
        for event in document.events:
            connection.execute(_INSERT, (event.id, event.dispatch_id, event.kind, event.at, event.reason))
    finally:
        connection.close()


@app.post("/events")
async def take(
    request: Request,
    document: PeerEvents,
    webhook_id: Annotated[str, Header()],
    webhook_timestamp: Annotated[str, Header()],
    webhook_signature: Annotated[str, Header()],
) -> dict[str, int]:
    """Check the signature, insert, answer."""
    body = await request.body()
    if not verify(_SECRET, webhook_id, webhook_timestamp, body, webhook_signature, time.time()):
        raise HTTPException(401)
    await run_in_threadpool(insert, document)
    return {"taken": len(document.events)}
