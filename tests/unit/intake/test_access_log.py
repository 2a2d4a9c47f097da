"""The access log names routes and statuses, and no person."""

from __future__ import annotations

import json
from pathlib import Path

from sqlalchemy.engine import Engine

from angelia.intake.api import create_app
from angelia.intake.keys import SCOPES, Keys
from angelia.intake.message import now
from tests.unit.intake.conftest import SMALL, TestClient


def test_the_access_log_holds_no_person(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "access.jsonl"
    headers = {"Authorization": f"Bearer {Keys(engine).make('shop', SCOPES, 9, now())[1]}"}
    with TestClient(create_app(engine, log)) as client:
        client.post("/v1/messages", json=SMALL, headers=headers)
        client.get("/v1/messages?user_id=anna", headers=headers)
        client.get("/v1/messages/anna")
        client.get("/anna")
        client.request("ANNA", "/v1/messages")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["status"] for line in lines] == [202, 422, 401, 404, 405]
    assert lines[2]["route"] == "/v1/messages/{message_id}"
    assert lines[0]["client"] == "shop"
    assert "anna" not in log.read_text().lower()
