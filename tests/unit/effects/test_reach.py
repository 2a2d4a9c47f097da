"""Reach of a night: devices by what they say, and messages by the device they went to."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from angelia.commands.report import run_report
from angelia.config import load_settings
from angelia.contracts import arrow, dataset
from angelia.contracts.rows import valid_rows
from angelia.lake import Lake
from angelia.users.registered import register
from tests.unit.effects.conftest import put

DS = "2026-11-14"
AT = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _home(settings_home: Path) -> None:
    """Every test here writes below its own home."""


def endpoint(user: str, address: str, *device: str | None, is_active: bool = True) -> dict[str, Any]:
    values = (user, "fcm", address, AT, is_active, *(device or (None, None)))
    return dict(zip(dataset("user_endpoints").names, values, strict=True))


def test_devices_and_messages_are_counted_once(lake: Lake, night: Any) -> None:
    (manifest,) = lake.history("dispatch_manifest", ds=DS)
    sent = {row["user_id"]: row["address"] for row in lake.read(manifest).to_pylist()}
    new, old = sorted(sent)[:2]
    rows = [
        endpoint(new, sent[new], "2.1", "allowed"), endpoint(old, sent[old], "1.0", "allowed"),
        endpoint(old, "second-token", "1.0", "allowed"), endpoint(old, "third-token"),
        endpoint(new, "ended-token", "2.1", "allowed", is_active=False),
    ]  # fmt: skip
    put(lake, "user_endpoints", pa.Table.from_pylist(rows, arrow.schema(dataset("user_endpoints"))), ds=DS)
    register(
        lake, [endpoint(new, "word-token", "2.1", "denied"), endpoint(old, "third-token", is_active=False)]
    )
    features = valid_rows("user_features", night.n)
    at = features.schema.get_field_index("device_vendor")
    vendors = pa.array(["huawei"] * night.n, pa.string())
    put(lake, "user_features", features.set_column(at, features.schema.field(at), vendors), ds=DS)
    page = Path(run_report(load_settings(), DS)["report"]).read_text("utf-8")
    table = lake.read(lake.require("reach", ds=DS)).to_pylist()
    by = {(row["app_version"], row["permission"]): row for row in table}
    assert {row["device_vendor"] for row in table} == {"huawei"}
    assert set(by) == {("2.1", "allowed"), ("2.1", "denied"), ("1.0", "allowed"), (None, "unknown")}
    figures = {key: (row["n_people"], row["n_devices"]) for key, row in by.items()}
    assert figures["1.0", "allowed"] == (1, 2), "a person with two devices is one"
    assert figures["2.1", "denied"] == figures["2.1", "allowed"] == (1, 1)
    assert figures[None, "unknown"] == (0, 0), "a word ended the third token"
    assert sum(row["n_accepted"] for row in table) == night.n_accepted
    assert sum(row["n_opened"] for row in table) == night.n_opened
    mine = [row for row in lake.read(manifest).to_pylist() if row["user_id"] in (new, old)]
    assert by["2.1", "allowed"]["n_accepted"] + by["1.0", "allowed"]["n_accepted"] <= len(mine)
    assert "fcm: 4 devices, 3 allowed, 1 denied, 0 unknown." in page


def test_what_came_back_stands_by_the_device_s_version(lake: Lake, night: Any) -> None:
    (manifest,) = lake.history("dispatch_manifest", ds=DS)
    (ledger,) = (lake.require("delivery_ledger", **leaf) for leaf in lake.partitions("delivery_ledger"))
    (worker,) = lake.partitions("push_receipts", ds=DS)
    receipts = lake.read(lake.require("push_receipts", **worker)).to_pylist()
    opened = {row["dispatch_id"] for row in receipts if row["kind"] == "opened"}
    accepted = [row for row in lake.read(ledger).to_pylist() if row["outcome"] == "accepted"]
    shown, plain = [row for row in accepted if row["dispatch_id"] not in opened][:2]
    address = {row["dispatch_id"]: row["address"] for row in lake.read(manifest).to_pylist()}
    rows = [
        endpoint(row["user_id"], address[row["dispatch_id"]], version, "allowed")
        for row, version in ((shown, "3.0"), (plain, "3.1"))
    ]
    rows.append(endpoint(shown["user_id"], "second-token", "2.9", "allowed"))
    put(lake, "user_endpoints", pa.Table.from_pylist(rows, arrow.schema(dataset("user_endpoints"))), ds=DS)
    schema = arrow.schema(dataset("push_receipts"))
    # Two words on one delivery are one; a program's open is nobody's.
    back = [
        {name: shown.get(name) for name in schema.names}
        | {"receipt_id": f"r{n}", "kind": kind, "receipt_ts": shown["sent_ts"], "reason": reason}
        for n, (kind, reason) in enumerate(
            [("delivered", None), ("delivered", None), ("displayed", None), ("opened", "machine")]
        )
    ]
    put(lake, "push_receipts", pa.Table.from_pylist(back, schema), ds=DS, source="receive", part="x")
    page = Path(run_report(load_settings(), DS)["report"]).read_text("utf-8")
    table = {row["app_version"]: row for row in lake.read(lake.require("reach", ds=DS)).to_pylist()}
    names = ("n_devices", "n_accepted", "n_delivered", "n_displayed", "n_opened")
    assert [table["3.0"][name] for name in names] == [1, 1, 1, 1, 0]
    assert [table["2.9"][name] for name in names] == [1, 0, 0, 0, 0]
    assert [table["3.1"][name] for name in names] == [1, 1, 0, 0, 0]
    assert (table[None]["n_displayed"], table[None]["n_opened"]) == (0, night.n_opened)
    assert re.search(r"<td[^>]*>3\.0</td>\s*<td[^>]*>allowed</td>" + r"\s*<td[^>]*>1</td>" * 5, page)
