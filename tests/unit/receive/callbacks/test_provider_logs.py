"""What FCM exports and SNS logs, in the forms of their pages, joined by id."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from angelia.cli import main
from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.receive.callbacks.provider_logs import events_of, read_log
from tests.unit.delivery.given import DS
from tests.unit.receive.callers import NOW, receipts

AT = datetime(2026, 11, 15, 4, 30, tzinfo=UTC)


def fcm(
    name: str, event: str = "MESSAGE_DELIVERED", at: object = "2026-11-15 04:30:00 UTC"
) -> dict[str, Any]:
    return {"event": event, "event_timestamp": at, "message_id": name, "instance_id": "c1"}


def lines(path: Path, *rows: dict[str, Any] | str) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), "utf-8")
    return path


@pytest.fixture
def known(bench: Any) -> dict[str, str]:
    """Deliver three messages; return their dispatches by Google's message id."""
    bench.plan(3)
    bench.deliver()
    rows = sorted(bench.ledger().values(), key=lambda row: row["user_id"])
    return {f"0:{number}%1": row["dispatch_id"] for number, row in enumerate(rows)}


@pytest.fixture
def named(lake: Lake, known: dict[str, str]) -> dict[str, str]:
    """Give each message its own id; two of them share the last one."""
    (leaf,) = lake.partitions("delivery_ledger", ds=DS)
    rows = sorted(lake.read(lake.require("delivery_ledger", **leaf)).to_pylist(), key=lambda r: r["user_id"])
    for number, row in enumerate(rows):
        row["provider_id"] = f"projects/p/messages/0:{min(number, 1)}%1"
    schema = lake.read(lake.require("delivery_ledger", **leaf)).schema
    with lake.attempt("delivery_ledger", **leaf) as attempt:
        attempt.write(pa.Table.from_pylist(rows, schema=schema), "part-0000.parquet")
        attempt.publish()
    return known


def test_deliveries_of_an_export_are_joined_by_googles_id(
    lake: Lake, named: dict[str, str], tmp_path: Path
) -> None:
    path = lines(
        tmp_path / "export.json",
        fcm("0:0%1"),
        fcm("0:0%1", at="2026-11-15 04:31:00.5 UTC"),
        fcm("0:0%1", "MESSAGE_ACCEPTED"),
        fcm("0:1%1"),
        fcm("0:9%9"),
        "no json",
        {"event": "MESSAGE_DELIVERED"},
    )
    events, left_out = events_of(lake, read_log(path), [DS], NOW)
    assert [(event.dispatch_id, event.kind, event.at_us) for event in events] == [
        (named["0:0%1"], "delivered", int(AT.timestamp() * 1e6))
    ]
    assert left_out == {"not_unique": 1, "not_ours": 1, "not_documented": 2}
    old, left_out = events_of(lake, read_log(path), [DS], NOW + timedelta(days=30))
    assert (old, left_out["too_old"]) == ([], 1)


def test_tables_and_packed_lines_say_the_same(tmp_path: Path) -> None:
    rows = [fcm("0:0%1", at=AT), fcm("0:0%1", "MESSAGE_ACCEPTED", at=AT)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text(
        "event,event_timestamp,message_id\nMESSAGE_DELIVERED,2026-11-15 04:30:00 UTC,0:0%1\n"
    )
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(json.dumps(fcm("0:0%1")).encode()))
    for name in ("a.parquet", "a.csv", "a.json.gz"):
        assert list(read_log(tmp_path / name)) == [("0:0%1", "delivered", AT, None)], name


def test_failures_of_sns_are_bounces_and_successes_nothing(tmp_path: Path) -> None:
    of = {"timestamp": "2026-11-15 04:30:00.54", "messageId": "9655abe4"}
    delivery = {"statusCode": 410, "providerResponse": "gone", "destination": "arn:aws:sns:…"}
    failure = {"status": "FAILURE", "notification": of, "delivery": delivery}
    success = {**failure, "status": "SUCCESS"}
    path = lines(tmp_path / "log", f"2026-11-15T04:30:01Z {json.dumps(failure)}", success, "")
    assert list(read_log(path)) == [("9655abe4", "bounced", AT + timedelta(milliseconds=540), "HTTP_410")]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.parquet", "x", "could not be read"),
        ("a.csv", "event,x\n1,2\n", "has no column event_timestamp"),
        ("absent", None, "could not be read"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, name: str, content: str | None, why: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InvalidInput, match=f"{name} {why}"):
        list(read_log(tmp_path / name))


def test_the_command_folds_an_export_once(
    lake: Lake,
    named: dict[str, str],
    tmp_path: Path,
    settings_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("angelia.receive.folding.recent_days", lambda _: [DS])
    monkeypatch.setattr("angelia.receive.receiver.utc_now", lambda: NOW)
    path = lines(tmp_path / "export.json", fcm("0:0%1"), fcm("0:9%9"))
    for n_receipts in (1, 0):
        with pytest.raises(SystemExit) as stop:
            main(["receive", "--provider-log", str(path), "--json"])
        assert stop.value.code == 0
        counted = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (counted["events"], counted["receipts"], counted["not_ours"]) == (1, n_receipts, 1)
    assert [(row["dispatch_id"], row["kind"]) for row in receipts(lake)] == [(named["0:0%1"], "delivered")]
