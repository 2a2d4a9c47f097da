"""The structured log says what a worker did, and never of whom.

Parts of one file that conclude together lose nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from angelia import logs
from angelia.delivery.channels.base import Provider
from angelia.delivery.channels.webhook import WebhookAdapter, host_of
from angelia.delivery.ledger import compaction
from angelia.delivery.ledger.ledger import Ledger
from angelia.delivery.ledger.outcomes import Outcomes
from angelia.delivery.manifest import sample_plan
from angelia.delivery.sending import events
from angelia.delivery.worker.options import Options
from angelia.delivery.worker.run import Delivery
from angelia.errors import AngeliaError
from angelia.transport.wire import NOT_SENT, UNKNOWN, Answer
from tests.unit.delivery.given import DS, FAR, HOUR, OK, Error


@pytest.fixture
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    """Return what has been written into the log so far."""
    path = tmp_path / "angelia.jsonl"
    monkeypatch.setenv("ANGELIA_LOG", str(path))
    monkeypatch.setenv("ANGELIA_LOG_KEY", "of this test")
    logs._key.cache_clear()
    return lambda: [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_part_tells_its_begin_batches_and_end(bench: Any, logged: Any, fcm_error: Error) -> None:
    bench.plan(250)
    bench.deliver(
        lambda _, message: fcm_error(404, "UNREGISTERED") if message["token"] < "sandbox-00000003" else OK
    )
    lines = logged()
    assert [line["event"] for line in lines] == [
        "deliver_part_began",
        *["deliver_batch_concluded"] * 3,
        "deliver_part_ended",
    ]
    part = bench.parts()[0]
    whole = {
        "ds": DS,
        "send_hour": HOUR,
        "channel": "fcm",
        "priority": "medium",
        "part": 0,
        "kind": "plan",
        "ledger": part.id[:12],
        "epoch": 1,
    }
    assert whole.items() <= lines[0].items()
    assert lines[0]["rows"] == 250
    assert sum(line["rows"] for line in lines[1:4]) == sum(line["attempts"] for line in lines[1:4]) == 250
    assert sum(line["reasons"].get("gone:UNREGISTERED", 0) for line in lines[1:4]) == 3
    assert {line["late"] for line in lines[1:4]} == {False}
    assert (lines[4]["result"], lines[4]["outcomes"]) == ("done", {"accepted": 247, "rejected": 3})


def test_takeover_and_a_part_that_failed(bench: Any, logged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.plan(3)
    conclude = Ledger.conclude
    monkeypatch.setattr(Ledger, "conclude", lambda *_: (_ for _ in ()).throw(AngeliaError("no space")))
    with pytest.raises(AngeliaError, match="no space"):
        bench.deliver(batch_deadline_s=0.3, request_timeout_s=0.1)
    monkeypatch.setattr(Ledger, "conclude", conclude)
    bench.deliver(takeover=True, batch_deadline_s=0.3, request_timeout_s=0.1)
    assert [
        (line["event"], line.get("epoch"), line.get("result"))
        for line in logged()
        if line["event"] != "deliver_batch_concluded"
    ] == [
        ("deliver_part_began", 1, None),
        ("deliver_part_ended", 1, "failed"),
        ("deliver_takeover", 2, None),
        ("deliver_part_began", 2, None),
        ("deliver_part_ended", 2, "done"),
    ]


def test_a_part_that_was_given_back_is_no_takeover(bench: Any, logged: Any, fcm_error: Error) -> None:
    bench.plan(500)
    bench.deliver(lambda *_: fcm_error(403, "SENDER_ID_MISMATCH"))
    bench.deliver()
    lines = logged()
    assert "deliver_takeover" not in [line["event"] for line in lines]
    (halt,) = [line for line in lines if line["event"] == "deliver_halted"]
    assert (halt["channel"], halt["why"]) == (
        "fcm",
        "the provider answers SENDER_ID_MISMATCH to every message; check the channel's credentials",
    )
    assert "unfinished" in [line.get("result") for line in lines]


def test_a_breaker_tells_when_it_opens_and_closes(bench: Any, logged: Any, fcm_error: Error) -> None:
    bench.plan(200, not_after=FAR)
    bench.deliver(lambda _, __: OK if len(bench.wire.requests) > 90 else fcm_error(503, "UNAVAILABLE"))
    changes = [line for line in logged() if "breaker" in line["event"]]
    assert [(line["event"], line["channel"]) for line in changes] == [
        ("deliver_breaker_opened", "fcm"),
        ("deliver_breaker_closed", "fcm"),
    ]


def test_a_receiver_is_named_by_a_hash(lake: Any, logged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    class Wire:
        def submit(self, request: Any, authorization: bytes, done: Any, tag: Any) -> None:
            asyncio.get_running_loop().call_soon(done, tag, Answer(0, failure=NOT_SENT))

        async def close(self) -> None:
            pass

    provider = Provider(WebhookAdapter(b"x" * 32), "", None, receiver_of=host_of)
    monkeypatch.setattr("angelia.delivery.worker.run.open_provider", lambda _: provider)
    sample_plan.make(
        lake,
        DS,
        20,
        changes={"channel": "webhook", "address": lambda n: f"https://canary-{n % 2}.example/secret-{n}"},
    )
    asyncio.run(Delivery(lake, Options(DS, (HOUR,), simulated=True), transport=lambda *_: Wire()).run())
    lines = logged()
    opened = [line for line in lines if line["event"] == "deliver_breaker_opened"]
    assert {line["receiver"] for line in opened} == {
        logs.hashed("canary-0.example:443"),
        logs.hashed("canary-1.example:443"),
    }
    assert "canary" not in json.dumps(lines)
    assert "secret" not in json.dumps(lines)


@pytest.mark.parametrize("trouble", ["refused", "lost", "halted", "render"])
def test_no_canary_is_in_the_log_the_progress_or_the_metrics(
    trouble: str,
    bench: Any,
    logged: Any,
    tmp_path: Path,
    fcm_error: Error,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Every personal field holds one, and so do the provider's own words."""
    bench.plan(
        40,
        user_id=lambda n: f"CANARY-USER-{n}",
        message_id=lambda n: sample_plan.ids.message_id("price_drop", f"CANARY-USER-{n}", "once"),
        address=lambda n: f"CANARY-ADDRESS-{n}",
        collapse_key="CANARY-KEY",
        locale="en-CANARY",
        fields=lambda n: json.dumps(
            {"first_name": "CANARY-NAME", "campaign_id": "price_drop"}
            | ({"item": "CANARY\x00"} if trouble == "render" else {})
        ),
    )
    script = {
        "refused": lambda *_: fcm_error(400, "CANARY-CODE 1 of CANARY-ADDRESS-1"),
        "lost": lambda *_: Answer(0, failure=UNKNOWN, detail="CANARY"),
        "halted": lambda *_: Answer(403, b'{"error": {"code": 403, "status": "CANARY-STATUS"}}'),
        "render": lambda *_: OK,
    }[trouble]
    result = bench.deliver(script, metrics_file=tmp_path / "m.prom")
    bench.deliver(script, metrics_file=tmp_path / "m.prom")
    printed = (
        json.dumps(logged())
        + json.dumps(result.to_json())
        + "".join(capfd.readouterr())
        + caplog.text
        + (tmp_path / "m.prom").read_text()
    )
    assert "deliver_part_ended" in printed
    assert "CANARY" not in printed


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("gone:UNREGISTERED", "gone:UNREGISTERED"), ("INVALID_ARGUMENT.token", "INVALID_ARGUMENT.token"),
        ("BadDeviceToken", "BadDeviceToken"),
        ("HTTP_404", "HTTP_404"), ("SMTP_550_5.1.1", "SMTP_550_5.1.1"),
        ("undefined_variable:first_name", "undefined_variable:first_name"),
        ("stopped", "stopped"), ("u00000007", "other"), ("ann@shop.example", "other"), ("Bearer x", "other"),
        ("x" * 41, "other"), ("", "other"),
    ],
)  # fmt: skip
def test_only_codes_are_shown(reason: str, shown: str) -> None:
    assert events.by_reason([reason, None]) == {shown: 1}


def test_events_written_during_a_commit_are_committed_too(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process concludes rows of the same file between our reading and our commit."""
    bench.plan(10)
    part = bench.parts()[0]
    bench.deliver(lambda _, message: Answer(0, failure=UNKNOWN))
    assert {row["outcome"] for row in bench.ledger().values()} == {"ambiguous"}
    ledger, commit, n_commits = bench.delivery.ledger, compaction._commit, []

    def slow(*args: Any) -> None:
        commit(*args)
        n_commits.append(1)
        if len(n_commits) == 1:
            late = Outcomes(range(10))
            late.outcome = ["accepted"] * 10
            bench.lake.store.create(f"late/{part.id}/000000-00000009", late.to_bytes())

    monkeypatch.setattr(compaction, "_commit", slow)
    compaction.compact(bench.lake, ledger, lambda: [part], bench.lake.require("dispatch_manifest", ds=DS))
    assert len(n_commits) == 2
    assert {row["outcome"] for row in bench.ledger().values()} == {"accepted"}
