"""Write the manifests: one row per message to be sent.

Grain: message. Reads decisions, user_features, user_endpoints, registered_addresses and the catalog
snapshot; writes dispatch_manifest.

A row is self-contained: address, template version, field values, window. One shuffle brings addresses, one
sorts rows into parts of about 100,000 per hour, channel and priority. Hours that a worker has sealed are
carried over as they are; every message that stands in a sealed hour is left out elsewhere, and so is what no
plan counted beside one (`beside_sealed`). On main the
gate `plan` and the guard must have judged this very plan, and let it pass: what the guard holds back is left
out and counted, as is what `--without` names, unless a named person answered that verdict (`--answer`,
`--answered-by`, `--verdict`). If the guard holds back the whole night, nothing is written.

Surprise: of several addresses the newest active one of the channel is used, unless its provider has called it
gone or the campaign says `devices: best` or `all`. All rows of a message to several devices stand in one
part, so that whoever delivers it knows of each.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, StringType, StructField, StructType

from angelia.answers import OperatorAnswer
from angelia.catalog.document_parts import WEEKDAYS
from angelia.catalog.documents import Campaign, Material
from angelia.catalog.snapshot import Catalog, load_snapshot
from angelia.contracts import arrow, dataset
from angelia.contracts.certificate import Messages, messages_of
from angelia.contracts.core import LOG
from angelia.contracts.ids import dispatch_id, hash64
from angelia.contracts.outcomes import SENT
from angelia.contracts.sending import ALL, BEST, OWN_HOURS
from angelia.contracts.spark import schema as spark_schema
from angelia.delivery.manifest.parts import sealed_files
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Commit, FileEntry, Lake
from angelia.lake.citing import input_of
from angelia.lake.commit import in_shard
from angelia.lake.lake import MAIN
from angelia.output import progress
from angelia.planning.routes.requests import ManifestCounts
from angelia.planning.verdict import release
from angelia.templates.rendering import field_values, user_columns
from angelia.timing.closing import has_left_by
from angelia.timing.own_hours import joined
from angelia.users.features import own_spans, read_features
from angelia.users.registered import REGISTERED
from spark_jobs.running.reading import read_dataset
from spark_jobs.running.session import (
    all_shards,
    arg_parser,
    fix_in_traceback,
    open_judged,
    run_job,
    spark_session,
)
from spark_jobs.shard_work.beside_sealed import fitting, intended, sealed_marketing
from spark_jobs.shard_work.devices import (
    addresses,
    by_way,
    receipts_param,
    recent_receipts,
    way_of,
    ways_of,
)
from spark_jobs.shard_work.endpoints import living, owned, read_endpoints

PART_ROWS = 100_000
COUNTED = ["campaign_id", "message_id_count", "message_id_count_distinct"]


def messages_of_shard(
    lake: Lake, decisions: Commit, features: Commit, catalog: Catalog, held: Sequence[str], shard: int
) -> pa.Table:
    """Return the manifest columns of a shard's messages, without address and dispatch id.

    Messages of campaigns that are held back are left out.
    """
    table = lake.read(decisions, ["ordinal", "user_id", "choices"], where=in_shard(shard))
    lists = table["choices"].combine_chunks()
    flat = lists.flatten()
    is_held = pc.is_in(pc.struct_field(flat, "campaign_id"), pa.array(list(held), pa.string()))
    sent = pc.and_not(pc.equal(pc.struct_field(flat, "outcome"), SENT), is_held)
    owner = lists.value_parent_indices().filter(sent)
    choice = pa.Table.from_struct_array(flat.filter(sent))
    templates_json = {name: template.model_dump(mode="json") for name, template in catalog.templates.items()}
    materials_json = {name: material.model_dump(mode="json") for name, material in catalog.materials.items()}
    needed = sorted({column for template in templates_json.values() for column in user_columns(template)})
    users = read_features(
        lake,
        features,
        list(dict.fromkeys(["ordinal", "locale", "timezone", *OWN_HOURS, *needed])),
        where=in_shard(shard),
    ).sort_by("ordinal")
    # Features are sorted by ordinal and hold every planned person, so a search finds the row without a join.
    at = np.searchsorted(users["ordinal"].to_numpy(), table["ordinal"].take(owner).to_numpy())
    users = users.take(pa.array(at))
    people = users.select(needed).to_pylist() if needed else [{}] * len(users)
    names = choice["campaign_id"].to_pylist()
    materials = choice["material_id"].to_pylist()
    campaigns = [catalog.campaigns[name] for name in names]
    templates = [catalog.template_of(name) for name in materials]
    slots = choice["slot"].to_pylist()
    policy, own = catalog.policy.quiet_hours, own_spans(users)
    general = None if policy is None else (policy.start, policy.end)
    quiet = [
        (None, None) if c.is_transactional else joined(general, own.get(row)) or (None, None)
        for row, c in enumerate(campaigns)
    ]
    documents = [catalog.materials[name] for name in materials]
    closes = list(map(_closes, users["timezone"].to_pylist(), slots, campaigns, documents))
    values = {
        "dispatch_id": pa.nulls(len(names), pa.string()),
        "message_id": choice["message_id"],
        "user_id": table["user_id"].take(owner),
        "ordinal": table["ordinal"].take(owner),
        "campaign_id": names,
        "occurrence": choice["occurrence"],
        "material_id": materials,
        "topic": [c.topic for c in campaigns],
        "channel": choice["channel"],
        "address": pa.nulls(len(names), pa.string()),
        "template_id": [template.id for template, _ in templates],
        "template_version": [version for _, version in templates],
        "fields": [
            json.dumps(
                field_values(templates_json[template.id], materials_json[material], name, user),
                sort_keys=True,
                ensure_ascii=False,
            )
            for (template, _), material, name, user in zip(templates, materials, names, people, strict=True)
        ],
        "locale": users["locale"],
        "priority": [c.priority for c in campaigns],
        "guarantee": [c.guarantee for c in campaigns],
        "send_ts": slots,
        "not_before": slots,
        "not_after": closes,
        "timezone": users["timezone"],
        "quiet_start": [start for start, _ in quiet],
        "quiet_end": [end for _, end in quiet],
        "collapse_key": names,
        "ttl_s": [c.ttl_hours * 3600 for c in campaigns],
        "material_propensity": choice["material_propensity"],
        "slot_propensity": choice["slot_propensity"],
    }
    contract = dataset("dispatch_manifest")
    return pa.table({column.name: _typed(values[column.name], column.type) for column in contract.columns})


def _closes(zone: str, slot: datetime, campaign: Campaign, material: Material) -> datetime:
    if campaign.is_transactional:
        return slot + timedelta(hours=campaign.ttl_hours)
    last = min(campaign.end_date, material.valid_until or date.max)
    end = campaign.send_window.end if campaign.send_window else None
    weekdays = frozenset(map(WEEKDAYS.index, campaign.occurrence.weekdays or ()))
    return has_left_by(zone, slot, campaign.ttl_hours, end, last, weekdays)


def _typed(values: object, kind: pa.DataType) -> object:
    return values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, kind)


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

    `to_all` names the campaigns whose messages go to several devices: these stand in one part.
    """

    def step(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            names = ["message_id", "channel", "address", "send_ts", "priority", "campaign_id"]
            rows = batch.select(names).to_pydict()
            ids = [
                dispatch_id(m, c, a)
                for m, c, a in zip(rows["message_id"], rows["channel"], rows["address"], strict=True)
            ]
            hours = [slot.strftime("%Y-%m-%dT%H") for slot in rows["send_ts"]]
            counts = [
                parts[h, c, p] for h, c, p in zip(hours, rows["channel"], rows["priority"], strict=True)
            ]
            together = [
                message if campaign in to_all else own
                for message, campaign, own in zip(rows["message_id"], rows["campaign_id"], ids, strict=True)
            ]
            numbers = [hash64(one) % count for one, count in zip(together, counts, strict=True)]
            batch = batch.set_column(
                batch.schema.get_field_index("dispatch_id"), "dispatch_id", pa.array(ids)
            )
            yield batch.append_column("send_hour", pa.array(hours)).append_column(
                "part", pa.array(numbers, pa.int32())
            )

    return step


def write_parts(lake: Lake, folder: str) -> Callable[[pa.Table], pa.Table]:
    """Return the step that writes one part, sorted by dispatch_id.

    It returns the part's file entry, and its rows and messages by campaign.
    """

    def step(table: pa.Table) -> pa.Table:
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
        counts = [list(row.values()) for row in counted.select(COUNTED).to_pylist()]
        return pa.table({"entry": [entry.to_json()], "counts": [json.dumps(counts)]})

    return step


def arg_parser_for_job() -> argparse.ArgumentParser:
    """Return this job's parser."""
    parser = arg_parser(__doc__, after=("sources", "features"))
    parser.add_argument(
        "--without",
        default="",
        metavar="CAMPAIGNS",
        help="campaigns to hold back beside those the guard does, separated by commas; empty = none",
    )
    parser.add_argument("--answer", default="", metavar="OPTION", help="what a person answered the guard")
    parser.add_argument("--answered-by", default="", metavar="NAME", help="who answered; nobody = no answer")
    parser.add_argument("--verdict", default="", metavar="ID", help="the guard's verdict that was answered")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Write the manifests of one night."""
    args = arg_parser_for_job().parse_args(argv)
    lake = open_judged(args)
    catalog = load_snapshot(lake, args.ds)
    without = {name for name in args.without.split(",") if name}
    if unknown := sorted(without - set(catalog.campaigns)):
        raise InvalidInput(
            f"--without names no campaign of the night: {', '.join(unknown)}",
            fix=f"they are {', '.join(catalog.campaigns)}",
        )
    decisions = lake.require("decisions", ds=args.ds)
    features = lake.require("user_features", ds=args.ds)
    made_from = [features, *([catalog.commit] if catalog.commit else [])]
    answer = OperatorAnswer(args.answer, args.answered_by, args.verdict)
    released = release(lake, decisions, made_from, answer)
    if released.held:
        why = f" ({released.refused})" if released.refused else ""
        progress(f"emit_manifests: the guard holds back {', '.join(released.held)}{why}")
    held = sorted(without.union(released.held))
    index = input_of(lake, decisions, "user_index")
    endpoints = lake.require("user_endpoints", ds=args.ds)
    shards = list(all_shards(index))
    cells = messages_of(decisions.meta)
    ways = ways_of({name: c.devices for name, c in catalog.campaigns.items()}, {c.campaign_id for c in cells})
    # Of all channels together: more than a channel has, so a part is rather smaller than too large.
    parts = part_counts(cells, catalog, -(-endpoints.rows // max(1, features.rows)))
    planned = sum(cell.n for cell in cells)
    schema = spark_schema(dataset("dispatch_manifest"))

    def spread(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch.column(0).to_pylist():
                with fix_in_traceback():
                    table = messages_of_shard(lake, decisions, features, catalog, held, shards[index])
                yield from table.set_column(3, "ordinal", table["ordinal"].cast(pa.int64())).to_batches(
                    max_chunksize=65_536
                )

    with spark_session("emit_manifests") as spark, lake.attempt("dispatch_manifest", ds=args.ds) as attempt:
        if not shards:
            raise NotFound("the user index is empty", fix="run index_users on a day with user_profiles")
        # Nothing is sent from a replay's branch, so no hour of it is sealed.
        standing = sealed_files(lake, args.ds) if lake.branch == MAIN else {}
        carried = [entry for files in standing.values() for entry in files]
        messages = (
            spark.range(len(shards), numPartitions=len(shards))
            .mapInArrow(spread, _nullable(schema))
            .drop("address")
        )
        rejects = {"held_back": sum(cell.n for cell in cells if cell.campaign_id in held)}
        if standing:
            # A sealed hour is sent as it stands: no message enters it, and none of its messages goes
            # elsewhere.
            hour = F.date_format("send_ts", "yyyy-MM-dd'T'HH")
            open_hours = messages.where(~hour.isin(list(standing)))
            n_open = open_hours.count()
            unsent = open_hours.join(intended(spark, lake, carried), "message_id", how="left_anti")
            n_unsent = unsent.count()
            before = read_dataset(spark, lake, lake.require("dispatch_manifest", ds=args.ds), ["message_id"])
            sealed, gap = sealed_marketing(spark, lake, carried), catalog.policy.min_gap_hours
            messages = fitting(unsent, messages, sealed, before, gap_hours=gap)
            rejects |= {
                "hour_sealed": planned - rejects["held_back"] - n_open,
                "message_sealed": n_open - n_unsent,
                "beside_sealed": n_unsent - messages.count(),
            }
        every = read_endpoints(spark, lake, endpoints, args.ds)
        usable, others = owned(living(spark, lake, every, args.ds))
        known, receipts = addresses(usable), list[Commit]()
        names = ["user_id", "channel"]
        if ways:
            made, receipts = recent_receipts(spark, lake, args.ds) if BEST in ways.values() else (None, [])
            known, names = by_way(usable, set(ways.values()), made, ds=args.ds), [*names, "way"]
            messages = messages.withColumn("way", way_of(ways))
        if others is not None:
            theirs = messages.join(
                F.broadcast(others.select("user_id", "channel").distinct()),
                ["user_id", "channel"],
                how="left_semi",
            )
            rejects["address_of_another"] = theirs.join(known, names, how="left_anti").count()
        addressed = messages.join(known, names, how="inner").select(*dataset("dispatch_manifest").names)
        where_to = [StructField("send_hour", StringType()), StructField("part", IntegerType())]
        to_all = {name for name, way in ways.items() if way == ALL}
        identified = addressed.mapInArrow(
            identify(parts, to_all), StructType([*_nullable(schema).fields, *where_to])
        )
        entries = (
            identified.groupBy("send_hour", "channel", "priority", "part")
            .applyInArrow(write_parts(lake, attempt.folder), "entry string, counts string")
            .collect()
        )
        for row in sorted(entries, key=lambda row: row.entry):
            attempt.add(FileEntry.from_json(row.entry))
        counts = ManifestCounts()
        for row in entries:
            counts.add(FileEntry.from_json(row.entry).keys["channel"], json.loads(row.counts))
        written = counts.messages.total()
        rejects["no_address"] = planned - written - sum(rejects.values())
        for entry in carried:
            attempt.add(entry)
        commit = attempt.publish(
            inputs=[
                decisions,
                *made_from,
                endpoints,
                *lake.history(REGISTERED, log=LOG),
                *lake.history("suppressions", log=LOG),
            ],
            rejects={name: count for name, count in rejects.items() if count},
            params={**({"held_back": held} if held else {}), **receipts_param(receipts)},
            meta={
                "start": decisions.meta["start"],
                "sealed_hours": sorted(standing),
                **(counts.meta() if to_all else {}),
                **released.recorded(),
            },
        )
        progress(
            f"emit_manifests: {commit.ref}: {planned} planned, {commit.rows} rows in "
            f"{len(commit.files)} parts, left out {dict(commit.rejects)}"
        )


def _nullable(schema: StructType) -> StructType:
    """Return the schema with everything nullable: addresses and ids are filled in on the way."""
    return StructType([StructField(field.name, field.dataType, True) for field in schema.fields])


if __name__ == "__main__":
    sys.exit(run_job(main))
