"""`angelia deliver` and `angelia ledger`: what an operator types, and what it answers.

Bad input is answered in one line, with exit code 2, and nothing is written.
"""

from __future__ import annotations

import json
import struct
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.delivery.clock import SimulatedClock
from angelia.delivery.ledger.status import status
from angelia.delivery.manifest import sample_plan
from angelia.delivery.manifest.parts import due_parts
from angelia.delivery.worker.options import RunResult
from angelia.delivery.worker.run import Delivery
from angelia.lake import Lake
from tests.unit.delivery.given import DS, HOUR
from tests.unit.delivery.typing_in import run


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--ds", "yesterday"), "is not a date"),
        (("--ds", DS, "--all-hours"), "--clock simulated"),
        (("--ds", DS, "--all-hours", "--send-hour", HOUR, "--clock", "simulated"), "exclude each other"),
        (("--ds", DS, "--send-hour", "4"), "is not an hour"),
        (("--ds", DS, "--send-hour", "2026-11-15T09"), "nothing to send in 2026-11-15T09"),
        (("--ds", DS, "--channel", "fmc"), "--channel fmc: the plan of 2026-11-14 knows no such channel"),
        (("--ds", "2026-11-13", "--all-hours", "--clock", "simulated"), "2026-11-13 has no plan to send"),
        (("--ds", "2026-11-13"), "2026-11-13 has no plan to send"),
        (("--ds", DS, "--send-hour", HOUR, "--clock", "simulated"), "ANGELIA_FCM_CREDENTIALS"),
    ],
)
def test_bad_input_is_one_line(
    args: tuple[str, ...], says: str, settings_home: Path, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    sample_plan.make(lake, DS, 3)
    assert run("deliver", *args) == 2
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if not line.startswith("deliver ")]
    assert len(errors) == 1
    assert says in errors[0]
    assert captured.out == ""
    assert not list(lake.store.list("intents"))


def test_a_replay_branch_is_refused(
    settings_home: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sample_plan.make(lake, DS, 3)
    monkeypatch.setenv("ANGELIA_BRANCH", "replay-7")
    assert run("deliver", "--ds", DS) == 2
    assert "only main can be sent" in capsys.readouterr().err
    assert not list(lake.store.list("seals"))


def test_an_hour_that_has_not_begun_is_not_sealed(
    settings_home: Path, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    sample_plan.make(lake, "2090-01-01", 3)
    assert run("deliver", "--ds", "2090-01-01", "--send-hour", "2090-01-02T04") == 2
    assert "has not begun" in capsys.readouterr().err
    assert not list(lake.store.list("seals"))


def test_rows_that_were_deferred_are_no_negative_count(
    settings_home: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that was stopped had deferred them; this one sent them."""

    async def goes_on(self: Delivery) -> RunResult:
        self.result.count(Counter(deferred=3), Counter(accepted=3))
        return self.result

    sample_plan.make(lake, DS, 3)
    monkeypatch.setattr(Delivery, "run", goes_on)
    assert run("deliver", "--ds", DS, "--send-hour", HOUR, "--clock", "simulated") == 0
    assert capsys.readouterr().out.splitlines()[0] == "delivered: accepted 3"


def test_credentials_that_are_none(
    settings_home: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sample_plan.make(lake, DS, 3)
    path = settings_home / "account.json"
    for text, says in (
        ("{", "no readable JSON"),
        ('{"project_id": "p"}', "lacks private_key"),
        ("[]", "no readable JSON"),
    ):
        path.write_text(text)
        monkeypatch.setenv("ANGELIA_FCM_CREDENTIALS", str(path))
        assert run("deliver", "--ds", DS, "--send-hour", HOUR, "--clock", "simulated") == 2
        assert says in capsys.readouterr().err
    assert not list(lake.store.list("claims"))
    assert not list(lake.store.list("seals"))


RESEND = ("ledger", "resend", "--campaigns", "price_drop", "--from", DS, "--to", DS)


@pytest.fixture
def lacking(bench: Any, settings_home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A plan of four that was stopped while it was delivered, and goes on since."""
    bench.plan(4)
    for action in ("stop", "resume"):
        entry = {
            "entry_id": action,
            "campaign_id": "price_drop",
            "action": action,
            "at_ts": datetime(2026, 11, 15, 4, 30 if action == "stop" else 31, tzinfo=UTC),
            "actor": "test",
            "reason": "wrong link",
        }
        rows = pa.Table.from_pylist([entry], schema=arrow.schema(dataset("stops")))
        bench.lake.append_log("stops", rows)
        if action == "stop":
            bench.deliver()
    return bench


def test_a_resend_demands_the_hash_of_its_count(lacking: Any, capsys: pytest.CaptureFixture[str]) -> None:
    now = ("--now", "2026-11-15T04:30:00Z")
    assert run(*RESEND, *now, "--json") == 0
    counted = json.loads(capsys.readouterr().out)
    assert (counted["resent"], counted["dry_run"]) == (4, True)
    for words, says in (
        (("--yes",), "--yes needs --expect HASH"),
        (("--yes", "--expect", ""), "--yes needs --expect HASH"),
        (("--yes", "--expect", "x"), "is not the hash of a count"),
        (("--yes", "--expect", f"{counted['hash'][:-16]}{'0' * 16}"), "is not what was counted"),
        (("--expect", counted["hash"]), "--expect goes with --yes"),
    ):
        assert run(*RESEND, *now, *words) == 2
        captured = capsys.readouterr()
        assert says in captured.err.splitlines()[-1]
        assert captured.out == ""
    assert not lacking.parts()[1:]
    assert run(*RESEND, *now, "--yes", "--expect", counted["hash"]) == 0
    assert len(lacking.parts()) == 2


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (("--answer", "", "--answered-by", ""), "nobody answered"),  # marked as success
        (("--answer", "Approve", "--answered-by", ""), "no named person answered"),
        (("--answer", "Reject", "--answered-by", ""), "no named person answered"),  # timed out
        (("--answer", "Reject", "--answered-by", "ada"), "the answer was Reject"),
        (("--answer", "Send them, too", "--answered-by", "ada"), "was not offered"),
    ],
)
def test_an_answer_that_is_none_resends_nothing(
    lacking: Any, capsys: pytest.CaptureFixture[str], answer: tuple[str, ...], says: str
) -> None:
    now = ("--now", "2026-11-15T04:30:00Z")
    assert run(*RESEND, *now, "--json") == 0
    counted = json.loads(capsys.readouterr().out)["hash"]
    approved = ("--answer", "Approve", "--answered-by", "ada")
    for expect, words, why in (
        (counted, answer, says),
        ("", approved, "the answer is about nothing that it names"),
    ):
        assert run(*RESEND, *now, "--yes", "--expect", expect, *words) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith("error: nothing was put up again: ")
        assert why in line
    assert not lacking.parts()[1:]
    assert run(*RESEND, *now, "--yes", "--expect", counted, *approved) == 0
    assert len(lacking.parts()) == 2


def test_no_server_listens_where_another_does_by_default() -> None:
    """Airflow has 8080; a sandbox and a receiver run beside it, and beside each other."""
    import inspect

    from angelia.commands import receive as receiving
    from angelia.commands.deliver import sandbox

    ports = [8080]
    for command in (sandbox, *(value for value in vars(receiving).values() if inspect.isfunction(value))):
        parameters = inspect.signature(command).parameters.items()
        ports += [
            parameter.default
            for name, parameter in parameters
            if name.endswith("port") and isinstance(parameter.default, int)
        ]
    ports = [port for port in ports if port]
    assert len(ports) >= 4, ports
    assert len(set(ports)) == len(ports), ports


def test_an_hour_that_closed_unsent_is_accounted_for(bench: Any) -> None:
    bench.plan(40)
    after = int(datetime(2026, 11, 15, 9, tzinfo=UTC).timestamp() * 1e6)
    result = bench.deliver(clock=SimulatedClock(after), hours=None)
    assert (result.delivered, bench.wire.requests) == ({"skipped": 40}, [])
    assert {(row["outcome"], row["reason"]) for row in bench.ledger().values()} == {("skipped", "expired")}
    assert status(bench.lake, DS)["rows_open"] == 0
    assert due_parts(bench.lake, after) == []


def test_due_parts_are_listed_until_they_are_sent(
    bench: Any, settings_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.plan(40)
    assert run("ledger", "due", "--now", "2026-11-15T04:30:00Z", "--json") == 0
    assert json.loads(capsys.readouterr().out)["parts"] == [
        {
            "ds": DS,
            "send_hour": HOUR,
            "channel": "fcm",
            "priority": "medium",
            "part": 0,
            "kind": "plan",
            "rows": 40,
        }
    ]
    bench.deliver()
    assert run("ledger", "due", "--now", "2026-11-15T04:30:00Z") == 0
    assert "nothing is due" in capsys.readouterr().out
    assert run("ledger", "due", "--now", "2026-11-15 04:30") == 2


def test_a_worker_shares_its_home_s_pace(
    settings_home: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the wall clock every row is late: nothing leaves, and what was drawn goes back."""
    sample_plan.make(lake, DS, 3, changes={"channel": "webhook", "address": "https://one.example/x"})
    (settings_home / "hook.json").write_text('{"secret": "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}')
    monkeypatch.setenv("ANGELIA_WEBHOOK_CREDENTIALS", str(settings_home / "hook.json"))
    assert run("deliver", "--ds", DS, "--send-hour", HOUR) == 0, capsys.readouterr().err
    at, tokens = struct.unpack("<qd", (settings_home / "pace" / "channel.webhook").read_bytes())
    assert abs(at / 1e6 - time.time()) < 60
    assert tokens == pytest.approx(800), "a full burst of the quota"
