"""The parts of a manifest: how many, which rows stand in which, what is counted beside."""

import json
from datetime import UTC, datetime

import pyarrow as pa

from angelia.catalog.snapshot import load_snapshot
from angelia.contracts import arrow, dataset
from angelia.contracts.certificate import Messages
from angelia.contracts.rows import valid_rows
from angelia.lake import FileEntry
from spark_jobs.shard_work.manifest_parts import identify, part_counts, write_parts
from tests.planned_night import DS, SALE, plan_a_night

SLOT = datetime(2026, 11, 15, 9, tzinfo=UTC)


def test_all_devices_of_a_message_stand_in_one_part():
    slot = datetime(2026, 11, 15, 9, tzinfo=UTC)
    pairs = [(n, device) for n in range(40) for device in range(3)]
    batch = pa.record_batch(
        {
            "message_id": [f"m{n}" for n, _ in pairs],
            "channel": ["fcm"] * 120,
            "address": [f"t{n}-{device}" for n, device in pairs],
            "send_ts": [slot] * 120,
            "priority": ["medium"] * 120,
            "campaign_id": ["sale"] * 120,
            "dispatch_id": pa.nulls(120, pa.string()),
        }
    )
    counts = {("2026-11-15T09", "fcm", "medium"): 4}
    spread = {}
    for to_all in ((), ("sale",)):
        (made,) = identify(counts, to_all)(iter([batch]))
        parts = set(zip(*made.select(["message_id", "part"]).to_pydict().values(), strict=True))
        spread[to_all] = len(parts)
        assert len(set(made.column("dispatch_id").to_pylist())) == 120
    assert spread[("sale",)] == 40 < spread[()]


def test_parts_have_room_for_every_device(lake, settings_home):
    cell = Messages("2026-11-15T09", "fcm", "sale", 150_000)
    for way, n in (({}, 2), ({"devices": "best"}, 2), ({"devices": "all"}, 5)):
        plan_a_night(lake, SALE | way)
        (parts,) = part_counts([cell], load_snapshot(lake, DS), 3).values()
        assert parts == n


def test_a_message_without_an_address_is_counted_in_its_part(lake):
    rows = valid_rows("dispatch_manifest", 3)
    left_out = pa.array([None, "no_address", "no_address"], pa.string())
    places = {"send_hour": ["2026-11-15T09"] * 3, "part": pa.array([0] * 3, pa.int32())}
    table = rows.append_column("left_out", left_out)
    for name, column in places.items():
        table = table.append_column(name, pa.array(column))
    write = write_parts(lake, "main/dispatch_manifest/ds=2026-11-14/attempt-0")
    (written,) = write(table).to_pylist()
    entry = FileEntry.from_json(written["entry"])
    assert lake.read_file(entry).equals(rows.slice(0, 1).cast(arrow.schema(dataset("dispatch_manifest"))))
    assert json.loads(written["left_out"]) == {"no_address": 2}
    (nothing,) = write(table.slice(1)).to_pylist()
    assert (nothing["entry"], json.loads(nothing["left_out"])) == (None, {"no_address": 2})
