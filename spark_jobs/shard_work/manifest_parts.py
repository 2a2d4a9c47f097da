"""The parts that a night's manifest is written in, of about 100,000 rows each.

Part of emit_manifests. Grain: hour x channel x priority x part. Reads rows of messages with their addresses;
writes one file a part. Surprise: a message without an address travels to a part, too, and is only counted
there: so each planned message is seen where rows are written, and none is missed without a reason.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from angelia.catalog.snapshot import Catalog
from angelia.contracts import arrow, dataset
from angelia.contracts.certificate import Messages
from angelia.contracts.ids import dispatch_id, hash64
from angelia.contracts.sending import ALL
from angelia.lake import Lake

PART_ROWS = 100_000
WRITTEN = "entry string, counts string, left_out string"  # what `write_parts` returns of each part
_COUNTED = ["campaign_id", "message_id_count", "message_id_count_distinct"]

Leaf = tuple[str, str, str]  # hour, channel, priority


def part_counts(messages: Iterable[Messages], catalog: Catalog, n_devices: int = 1) -> dict[Leaf, int]:
    """Return how many parts each hour, channel and priority gets.

    `n_devices`: addresses a person, as rows of a message that goes to all.
    """
    rows: dict[Leaf, int] = {}
    for cell in messages:
        campaign = catalog.campaigns[cell.campaign_id]
        name = (cell.slot, cell.channel, campaign.priority)
        rows[name] = rows.get(name, 0) + cell.n * (n_devices if campaign.devices == ALL else 1)
    return {name: -(-count // PART_ROWS) for name, count in rows.items()}


def identify(
    parts: dict[Leaf, int], to_all: Collection[str] = ()
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return the step that gives each row its dispatch_id and its part.

    `to_all` names the campaigns whose messages go to several devices: these stand in one part. A row without
    an address gets a part and no dispatch_id.
    """

    def step(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            names = ["message_id", "channel", "address", "send_ts", "priority", "campaign_id"]
            rows = batch.select(names).to_pydict()
            ids = [
                None if a is None else dispatch_id(m, c, a)
                for m, c, a in zip(rows["message_id"], rows["channel"], rows["address"], strict=True)
            ]
            hours = [slot.strftime("%Y-%m-%dT%H") for slot in rows["send_ts"]]
            counts = [
                parts[h, c, p] for h, c, p in zip(hours, rows["channel"], rows["priority"], strict=True)
            ]
            together = [
                message if own is None or campaign in to_all else own
                for message, campaign, own in zip(rows["message_id"], rows["campaign_id"], ids, strict=True)
            ]
            numbers = [hash64(one) % count for one, count in zip(together, counts, strict=True)]
            place = batch.schema.get_field_index("dispatch_id")
            batch = batch.set_column(place, "dispatch_id", pa.array(ids, pa.string()))
            yield batch.append_column("send_hour", pa.array(hours)).append_column(
                "part", pa.array(numbers, pa.int32())
            )

    return step


def write_parts(lake: Lake, folder: str) -> Callable[[pa.Table], pa.Table]:
    """Return the step that writes one part, sorted by dispatch_id.

    It returns the part's file entry (None: no row of it has an address), its rows and messages by campaign,
    and the messages it left out by reason.
    """

    def step(table: pa.Table) -> pa.Table:
        left_out = json.dumps(Counter(table["left_out"].drop_null().to_pylist()))
        table = table.filter(pc.is_null(table["left_out"]))
        if not table.num_rows:
            return _written(None, None, left_out)
        send_hour, channel, priority, part = (
            table[name][0].as_py() for name in ("send_hour", "channel", "priority", "part")
        )
        keys = {"send_hour": send_hour, "channel": channel, "priority": priority, "part": f"{part:04d}"}
        name = f"send_hour={send_hour}/channel={channel}/priority={priority}/part-{part:04d}.parquet"
        contract = dataset("dispatch_manifest")
        rows = table.select(contract.names).sort_by("dispatch_id")
        entry = lake.write_file(contract.name, folder, rows.cast(arrow.schema(contract)), name, keys=keys)
        of = rows.select(["campaign_id", "message_id"]).group_by("campaign_id", use_threads=False)
        counted = of.aggregate([("message_id", "count"), ("message_id", "count_distinct")])
        counts = [list(row.values()) for row in counted.select(_COUNTED).to_pylist()]
        return _written(entry.to_json(), json.dumps(counts), left_out)

    return step


def _written(*values: str | None) -> pa.Table:
    return pa.table([pa.array([value], pa.string()) for value in values], ["entry", "counts", "left_out"])
