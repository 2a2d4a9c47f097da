"""Personal data and secrets are planted everywhere, everything goes wrong: nothing of them shows in what a worker says or leaves in its ledger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from angelia.delivery import sample_plan
from angelia.lake import Lake

pytestmark = pytest.mark.integration
RULES = """
rules:
  - {match: {token_prefix: CANARY-ADDRESS-1-}, then: {status: 404, error: UNREGISTERED}}
  - {match: {token_prefix: CANARY-ADDRESS-2-}, then: {status: 400, error: INVALID_ARGUMENT}}
  - {match: {token_prefix: CANARY-ADDRESS-3-}, then: {status: 200, body: "{ CANARY-ANSWER"}}
  - {match: {token_prefix: CANARY-ADDRESS-4-}, then: {status: 418, error: TEAPOT}}
  - {match: {token_prefix: CANARY-ADDRESS-5-}, then: {reset: after}}
  - {match: {token_prefix: CANARY-ADDRESS-6-}, then: {status: 500, body: "<html>CANARY-ANSWER</html>"}}
"""


def fields(number: int) -> str:
    if number == 70:
        return "{CANARY-NAME no json"
    name = "CANARY-NAME\r\nX: y" if number == 71 else f"CANARY-NAME-{number}"
    return json.dumps({"campaign_id": "price_drop", "item": "camera", "first_name": name})


@pytest.mark.parametrize("trouble", ["answers", "no_server", "bad_credentials", "crash"])
def test_nothing_personal_or_secret_is_said(trouble: str, start_sandbox: Any, site_of: Any, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    lake = Lake.open(str(tmp_path / "lake"))
    changes = {
        "user_id": lambda n: f"CANARY-USER-{n}",
        "message_id": lambda n: sample_plan.ids.message_id("price_drop", f"CANARY-USER-{n}", "once"),
        "address": lambda n: f"CANARY-ADDRESS-{n}-" + "\x00" * (n == 72),
        "fields": fields,
        "template_version": lambda n: 9 if n == 73 else 1,
    }
    sample_plan.make(lake, "2026-11-14", 600, changes=changes)
    with start_sandbox(tmp_path / "sandbox", "--rules", str(rules)) as sandbox:
        site = site_of(tmp_path, sandbox, lake)
        secret = json.loads(Path(sandbox.names["credentials"]).read_text())["private_key"].splitlines()[2]
        if trouble == "no_server":
            sandbox.names["url"] = "https://127.0.0.1:1/CANARY-URL"
        if trouble == "bad_credentials":
            path = tmp_path / "broken.json"
            path.write_text(json.dumps(json.loads(Path(sandbox.names["credentials"]).read_text()) | {"private_key": "CANARY-KEY"}))
            sandbox.names["credentials"] = str(path)
        options = ("--batch-deadline", "2", "--request-timeout", "1")
        process = site.start(*options, failpoint="after_send:40" if trouble == "crash" else "")
        out, errors = process.communicate(timeout=120)
    said = out + errors
    assert "Traceback" not in said
    assert "CANARY" not in said
    assert secret not in said
    if trouble == "answers":
        assert json.loads(out)["delivered"]["accepted"] > 0
    ledger = [key for folder in ("claims", "intents", "outcomes", "done", "seals", "heartbeats", "followups") for key in lake.store.list(folder)]
    assert ledger or trouble == "bad_credentials"
    for key in ledger:
        assert b"CANARY" not in lake.store.read(key), key
        assert "CANARY" not in key
