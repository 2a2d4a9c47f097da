"""Personal data and secrets are planted everywhere, and everything goes wrong.

None of them may show in a worker's output or in its ledger.
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from angelia.cli import main
from angelia.delivery.manifest import sample_plan
from angelia.lake import Lake

pytestmark = pytest.mark.integration
DS, HOUR = "2026-11-14", "2026-11-15T04"
LEDGER = (
    "claims",
    "intents",
    "outcomes",
    "done",
    "seals",
    "heartbeats",
    "followups",
    "sights",
    "released",
    "late",
)
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


@pytest.fixture(scope="module")
def rude_sandbox(tmp_path_factory: pytest.TempPathFactory, start_sandbox: Any) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("rude")
    rules = folder / "rules.yaml"
    rules.write_text(RULES)
    with start_sandbox(folder / "sandbox", "--rules", str(rules)) as sandbox:
        yield sandbox


def plan(home: Path) -> Lake:
    lake = Lake.open(str(home / "lake"))
    changes = {
        "user_id": lambda n: f"CANARY-USER-{n}",
        "message_id": lambda n: sample_plan.ids.message_id("price_drop", f"CANARY-USER-{n}", "once"),
        "address": lambda n: f"CANARY-ADDRESS-{n}-" + "\x00" * (n == 72),
        "fields": fields,
        "template_version": lambda n: 9 if n == 73 else 1,
    }
    sample_plan.make(lake, DS, 600, changes=changes)
    return lake


@pytest.mark.parametrize("trouble", ["answers", "no_server", "bad_credentials", "crash"])
def test_nothing_personal_or_secret_is_said(
    trouble: str, rude_sandbox: Any, site_of: Any, tmp_path: Path
) -> None:
    lake = plan(tmp_path)
    sandbox = copy.copy(rude_sandbox)
    sandbox.names = dict(sandbox.names)
    site = site_of(tmp_path, sandbox, lake)
    secret = json.loads(Path(sandbox.names["credentials"]).read_text())["private_key"].splitlines()[2]
    if trouble == "no_server":
        sandbox.names["url"] = "https://127.0.0.1:1/CANARY-URL"
    if trouble == "bad_credentials":
        path = tmp_path / "broken.json"
        path.write_text(
            json.dumps(
                json.loads(Path(sandbox.names["credentials"]).read_text()) | {"private_key": "CANARY-KEY"}
            )
        )
        sandbox.names["credentials"] = str(path)
    options = (
        "--batch-deadline",
        "2",
        "--request-timeout",
        "1",
        "--metrics-file",
        str(tmp_path / "metrics.prom"),
    )
    process = site.start(*options, failpoint="after_send:40" if trouble == "crash" else "")
    out, errors = process.communicate(timeout=120)
    printed = out + errors
    assert "Traceback" not in printed
    assert "CANARY" not in printed
    assert secret not in printed
    if trouble == "answers":
        assert json.loads(out)["delivered"]["accepted"] > 0
    ledger = [key for folder in LEDGER for key in lake.store.list(folder)]
    assert ledger or trouble == "bad_credentials"
    for key in ledger:
        assert b"CANARY" not in lake.store.read(key), key
        assert "CANARY" not in key
    files = [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and "lake" not in path.relative_to(tmp_path).parts and path.name != "broken.json"
    ]
    assert files or trouble == "crash"  # logs and metrics
    for path in files:
        data = path.read_bytes()
        assert b"CANARY" not in data, path
        assert secret.encode() not in data, path


# What the tasks of `hourly_dispatch` return: the last line of these commands, parsed. Words that may stand in
# it, at any depth.
XCOM_KEYS = {
    "parts", "ds", "send_hour", "channel", "priority", "part", "kind", "rows", "delivered",
    "already_delivered", "parts_finished", "busy_parts",
    "unfinished_parts", "waiting_parts", "halted", "drained", "seconds", "accepted", "rejected", "skipped",
    "deferred", "ambiguous", "outcomes", "damaged",
    "parts_done", "rows_open", "open_intents", "rows_intended", "fcm", "campaign", "campaign_id", "released",
}  # fmt: skip


def words(document: Any) -> Iterator[str]:
    """Yield every key and every text of a JSON document."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield f"key {key}"
            yield from words(value)
    elif isinstance(document, list):
        for value in document:
            yield from words(value)
    elif isinstance(document, str):
        yield document


def test_what_tasks_return_names_parts_and_counts_only(
    rude_sandbox: Any,
    site_of: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = site_of(tmp_path, rude_sandbox, plan(tmp_path))
    monkeypatch.setenv("ANGELIA_HOME", str(tmp_path))
    for name, value in site.environment().items():
        monkeypatch.setenv(name, value)
    deliver = [
        "deliver",
        "--ds",
        DS,
        "--send-hour",
        HOUR,
        "--channel",
        "fcm",
        "--part",
        "0",
        "--clock",
        "simulated",
        "--batch-deadline",
        "2",
        "--json",
    ]
    due = ["ledger", "due", "--now", "2026-11-15T04:05:00Z", "--json"]
    status, release = ["ledger", "status", "--ds", DS, "--json"], ["ledger", "release", "--ds", DS, "--json"]
    for command in (due, deliver, status, release, due, deliver):
        with contextlib.suppress(SystemExit):
            main(command)
        out, errors = capsys.readouterr()
        assert "CANARY" not in out + errors
        returned = json.loads(out.splitlines()[-1])
        strings = list(words(returned))
        assert {word[4:] for word in strings if word.startswith("key ")} <= XCOM_KEYS
        assert all(re.fullmatch(r"[\w.:-]{1,40}", word) for word in strings if not word.startswith("key "))
