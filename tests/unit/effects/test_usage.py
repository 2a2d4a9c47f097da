"""What came by REST in a night's report: counted once, by the plan's hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from angelia.commands.report import run_report
from angelia.config import load_settings
from angelia.contracts import arrow, dataset
from angelia.contracts.rows import valid_rows
from angelia.lake import Lake

DS = "2026-11-14"
START = datetime(2026, 11, 15, 4, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _home(settings_home: Path) -> None:
    """Every test here writes below its own home."""


def put(lake: Lake, name: str, rows: list[dict[str, Any]], **leaf: str) -> None:
    keys = {"send_hour": "x", "channel": "fcm", "priority": "low", "part": "0000"}
    with lake.attempt(name, **leaf) as attempt:
        table = pa.Table.from_pylist(rows, schema=arrow.schema(dataset(name)))
        attempt.write(table, "part-0000.parquet", keys=keys if name == "dispatch_intake" else None)
        attempt.publish()


SALE = ("marketing__sale_note", "sale_note")


def message(number: int, at: datetime, status: str, campaign: str = "order") -> dict[str, Any]:
    return {
        "intake_id": f"{number:032x}", "message_id": f"{number + 1000:032x}", "client": "shop",
        "user_id": f"u{number:07d}", "campaign_id": campaign, "class": "transactional", "priority": "high",
        "channels": [], "n_variable_bytes": 10 * number, "accepted_ts": at, "send_ts": at,
        "expires_ts": None, "status": status, "status_ts": at,
    }  # fmt: skip


def step(number: int, at: datetime, name: str, channel: str | None = None) -> dict[str, Any]:
    return {"intake_id": f"{number:032x}", "step": name, "channel": channel, "at_ts": at, "reason": None}


@pytest.fixture
def asked(lake: Lake, night: Any) -> None:
    """Write three messages of the plan's hours and one from the second after them."""
    end = START + timedelta(hours=24)
    hours = {
        START: [message(1, START, "opened"), message(2, START, "refused")],
        end - timedelta(hours=1): [
            message(3, end - timedelta(seconds=1), "failed", "login"),
            message(5, end - timedelta(seconds=1), "refused", SALE[0]),
        ],
        end: [message(4, end, "sent")],
    }
    for hour, rows in hours.items():
        leaf = {"ds": f"{hour:%Y-%m-%d}", "accept_hour": f"{hour:%Y-%m-%dT%H}"}
        put(lake, "intake_messages", rows, **leaf)
    later = START + timedelta(seconds=2)
    steps = [
        step(1, START, "accepted"), step(1, later, "queued", "sms"), step(1, later, "sent", "sms"),
        step(1, later + timedelta(minutes=1), "delivered", "sms"),
        step(1, later + timedelta(minutes=2), "opened", "sms"), step(2, later, "refused"),
    ]  # fmt: skip
    put(lake, "intake_steps", steps, ds="2026-11-15", accept_hour="2026-11-15T04")
    sent = valid_rows("dispatch_intake", 1).to_pylist()[0] | {"message_id": f"{1001:032x}"}
    put(lake, "dispatch_intake", [sent | {"template_id": "plain"}], ds=DS, send_hour="x", part="a" * 32)


def test_usage_is_of_the_plans_hours_by_client_and_template(lake: Lake, asked: None) -> None:
    page = Path(run_report(load_settings(), DS)["report"]).read_text("utf-8")
    rows = lake.read(lake.require("intake_usage", ds=DS)).to_pylist()
    by_template = {(row["campaign_id"], row["template_id"]): row for row in rows}
    assert set(by_template) == {("order", "plain"), ("order", None), ("login", None), SALE}
    opened = by_template["order", "plain"]
    assert opened["channel"] == "sms"
    assert [opened[f"n_{name}"] for name in ("messages", "sent", "delivered", "opened")] == [1, 1, 1, 1]
    assert (opened["n_queued"], opened["queued_after_ms"], opened["n_variable_bytes"]) == (1, 2_000, 10)
    assert by_template["order", None]["n_not_sent"] == 1
    assert by_template[SALE]["n_not_sent"] == 1
    assert "Messages by REST" in page


def test_without_an_intake_there_is_neither_section_nor_mart(lake: Lake, night: Any) -> None:
    page = Path(run_report(load_settings(), DS)["report"]).read_text("utf-8")
    assert "Messages by REST" not in page
    assert lake.head("intake_usage", ds=DS) is None
