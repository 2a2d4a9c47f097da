"""Write the manifests: one row per message to be sent.

Grain: message. Reads decisions, user_features, user_endpoints, registered_addresses and the catalog
snapshot; writes dispatch_manifest.

A row is self-contained: address, template version, field values, window. One shuffle brings addresses, one
sorts rows into parts of about 100,000 per hour, channel and priority. Hours that a worker has sealed are
carried over as they are; every message that stands in a sealed hour is left out elsewhere, and so is what no
plan counted beside one (`beside_sealed`), or what a campaign's budget has no room for beside it. On main the
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
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, StringType, StructField, StructType

from angelia.answers import OperatorAnswer
from angelia.catalog.snapshot import Catalog, load_snapshot
from angelia.contracts import dataset
from angelia.contracts.certificate import Messages, messages_of
from angelia.contracts.core import LOG
from angelia.contracts.outcomes import NO_BUDGET
from angelia.contracts.sending import ALL, BEST
from angelia.contracts.spark import schema as spark_schema
from angelia.delivery.manifest.sealing import require_none_passed_over, standing
from angelia.errors import Corrupt, InvalidInput, NotFound
from angelia.lake import Attempt, Commit, FileEntry, Lake
from angelia.lake.citing import input_of
from angelia.output import progress
from angelia.planning.routes.requests import ManifestCounts
from angelia.planning.verdict import Released, release
from angelia.users.registered import REGISTERED
from spark_jobs.running.reading import read_dataset
from spark_jobs.running.session import (
    all_shards,
    arg_parser,
    on_executor,
    open_judged,
    run_job,
    spark_session,
)
from spark_jobs.shard_work.beside_sealed import (
    fitting,
    require_same_seals,
    sealed_counts,
    sealed_marketing,
    sealed_rows,
    seals_of,
    within_budgets,
)
from spark_jobs.shard_work.devices import (
    addresses,
    by_way,
    receipts_param,
    recent_receipts,
    way_of,
    ways_of,
)
from spark_jobs.shard_work.endpoints import living, owned, read_endpoints
from spark_jobs.shard_work.manifest_parts import WRITTEN, identify, part_counts, write_parts
from spark_jobs.shard_work.messages import messages_of_shard

MANIFEST = spark_schema(dataset("dispatch_manifest"))
Sealed = Mapping[str, Sequence[FileEntry]]  # files of manifests by hour


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


@dataclass(frozen=True)
class ReleasedPlan:
    """A night's plan that gate and guard judged, and what of it is held back."""

    lake: Lake
    ds: str
    catalog: Catalog
    decisions: Commit
    features: Commit
    endpoints: Commit
    shards: list[int]
    released: Released
    held: list[str]
    judged: list[Commit]  # what the verdicts cite beside the decisions

    @cached_property
    def messages(self) -> list[Messages]:
        """The planned messages by hour, channel and campaign."""
        return messages_of(self.decisions.meta)

    @cached_property
    def ways(self) -> dict[str, str]:
        """The planned campaigns that do not go to the newest device, and where they go."""
        planned = {cell.campaign_id for cell in self.messages}
        return ways_of({name: c.devices for name, c in self.catalog.campaigns.items()}, planned)

    @property
    def to_all(self) -> set[str]:
        """The campaigns whose messages go to all devices of a person."""
        return {name for name, way in self.ways.items() if way == ALL}

    @property
    def n_planned(self) -> int:
        """How many messages were planned."""
        return sum(cell.n for cell in self.messages)

    @property
    def n_held(self) -> int:
        """How many of them are held back."""
        return sum(cell.n for cell in self.messages if cell.campaign_id in self.held)

    def n_in(self, hours: Collection[str]) -> int:
        """Return how many of those not held back were planned for these hours."""
        return sum(
            cell.n for cell in self.messages if cell.slot in hours and cell.campaign_id not in self.held
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Write the manifests of one night."""
    args = arg_parser_for_job().parse_args(argv)
    lake = open_judged(args)
    plan = released_plan(lake, args)
    with spark_session("emit_manifests") as spark, lake.attempt("dispatch_manifest", ds=args.ds) as attempt:
        if not plan.shards:
            raise NotFound("the user index is empty", fix="run index_users on a day with user_profiles")
        sealed = seals_of(lake, args.ds)
        carried = [entry for files in sealed.values() for entry in files]
        rejects = Counter({"held_back": plan.n_held})
        messages = planned_messages(spark, plan)
        if sealed:
            messages = outside_sealed(spark, plan, messages, sealed, rejects)
        addressed, receipts = with_addresses(spark, plan, messages)
        counts = write_rows(attempt, plan, addressed, rejects)
        for entry in carried:
            attempt.add(entry)
        require_same_seals(lake, args.ds, sealed)
        require_all_explained(plan.n_planned, counts.messages.total(), rejects)
        commit = publish(attempt, plan, counts, rejects, sorted(sealed), receipts)
        # Whoever sealed an hour in the last instant goes by the manifest before; no hour goes by this one.
        require_none_passed_over(lake, commit)
        progress(
            f"emit_manifests: {commit.ref}: {plan.n_planned} planned, {commit.rows} rows in "
            f"{len(commit.files)} parts, left out {dict(commit.rejects)}"
        )


def released_plan(lake: Lake, args: argparse.Namespace) -> ReleasedPlan:
    """Return the night's plan, and what the guard or `--without` holds back of it.

    Raises:
        InvalidInput: `--without` names no campaign of the night.
    """
    catalog = load_snapshot(lake, args.ds)
    without = {name for name in args.without.split(",") if name}
    if unknown := sorted(without - set(catalog.campaigns)):
        raise InvalidInput(
            f"--without names no campaign of the night: {', '.join(unknown)}",
            fix=f"they are {', '.join(catalog.campaigns)}",
        )
    decisions, features = (lake.require(name, ds=args.ds) for name in ("decisions", "user_features"))
    judged = [features, *([catalog.commit] if catalog.commit else [])]
    answer = OperatorAnswer(args.answer, args.answered_by, args.verdict)
    released = release(lake, decisions, judged, answer)
    if released.held:
        why = f" ({released.refused})" if released.refused else ""
        progress(f"emit_manifests: the guard holds back {', '.join(released.held)}{why}")
    endpoints = lake.require("user_endpoints", ds=args.ds)
    shards = list(all_shards(input_of(lake, decisions, "user_index")))
    held = sorted(without.union(released.held))
    return ReleasedPlan(
        lake, args.ds, catalog, decisions, features, endpoints, shards, released, held, judged
    )


def planned_messages(spark: SparkSession, plan: ReleasedPlan) -> DataFrame:
    """Return the manifest's rows of all messages that are not held back, without an address."""
    n = len(plan.shards)
    step = spread(plan.lake, plan.decisions, plan.features, plan.catalog, plan.held, plan.shards)
    return spark.range(n, numPartitions=n).mapInArrow(step, _nullable(MANIFEST)).drop("address")


def spread(
    lake: Lake,
    decisions: Commit,
    features: Commit,
    catalog: Catalog,
    held: Sequence[str],
    shards: Sequence[int],
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return the step that turns places in `shards` into the messages of these shards."""

    def step(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for place in (place for batch in batches for place in batch.column(0).to_pylist()):
            with on_executor():
                table = messages_of_shard(lake, decisions, features, catalog, held, shards[place])
            # Spark has no unsigned numbers.
            table = table.set_column(3, "ordinal", table["ordinal"].cast(pa.int64()))
            yield from table.to_batches(max_chunksize=65_536)

    return step


def outside_sealed(
    spark: SparkSession, plan: ReleasedPlan, messages: DataFrame, sealed: Sealed, rejects: Counter[str]
) -> DataFrame:
    """Return the messages that no sealed hour concerns, and count the others.

    A sealed hour is sent as it stands: no message enters it, none of its messages goes elsewhere, and beside
    one goes only what a plan counted beside it.
    """
    lake, files = plan.lake, [entry for files in sealed.values() for entry in files]
    rows = sealed_rows(spark, lake, files)
    hour = F.date_format("send_ts", "yyyy-MM-dd'T'HH")
    in_open_hours = messages.where(~hour.isin(list(sealed)))
    n_open = in_open_hours.count()
    unsent = in_open_hours.join(rows.select("message_id"), "message_id", how="left_anti")
    n_unsent = unsent.count()
    before = read_dataset(spark, lake, standing(lake, plan.ds), ["message_id"])
    gap = plan.catalog.policy.min_gap_hours
    fit = fitting(unsent, messages, sealed_marketing(rows), before, gap_hours=gap)
    n_fit, kept = fit.count(), within_budgets(fit, plan.catalog.campaigns, sealed_counts(rows))
    rejects["hour_sealed"] = plan.n_in(sealed)
    rejects["message_sealed"] = n_open - n_unsent
    rejects["beside_sealed"] = n_unsent - n_fit
    rejects[NO_BUDGET] = n_fit - kept.count()
    return kept


def with_addresses(
    spark: SparkSession, plan: ReleasedPlan, messages: DataFrame
) -> tuple[DataFrame, list[Commit]]:
    """Return a row per message and address, and the receipts that chose between devices.

    A message without an address of its channel keeps one row, whose `left_out` says why.
    """
    lake, ways = plan.lake, plan.ways
    every = read_endpoints(spark, lake, plan.endpoints, plan.ds)
    usable, others = owned(living(spark, lake, every, plan.ds))
    known, names, receipts = addresses(usable), ["user_id", "channel"], list[Commit]()
    if ways:
        # Receipts of a fortnight are read only if some campaign chooses the best device by them.
        made, receipts = recent_receipts(spark, lake, plan.ds) if BEST in ways.values() else (None, [])
        known, names = by_way(usable, set(ways.values()), made, ds=plan.ds), [*names, "way"]
        messages = messages.withColumn("way", way_of(ways))
    rows, why = messages.join(known, names, how="left"), F.lit("no_address")
    if others is not None:
        owners = others.select("user_id", "channel").distinct().withColumn("why", F.lit("address_of_another"))
        rows = rows.join(F.broadcast(owners), ["user_id", "channel"], how="left")
        why = F.coalesce("why", why)
    return rows.select(*MANIFEST.names, F.when(F.col("address").isNull(), why).alias("left_out")), receipts


def write_rows(
    attempt: Attempt, plan: ReleasedPlan, addressed: DataFrame, rejects: Counter[str]
) -> ManifestCounts:
    """Write the rows into parts, count what is left out, and return how many there are."""
    # Of all channels together: more than a channel has, so a part is rather smaller than too large.
    n_devices = -(-plan.endpoints.rows // max(1, plan.features.rows))
    parts = part_counts(plan.messages, plan.catalog, n_devices)
    where_to = [
        StructField("left_out", StringType()),
        StructField("send_hour", StringType()),
        StructField("part", IntegerType()),
    ]
    entries = (
        addressed.mapInArrow(
            identify(parts, plan.to_all), StructType([*_nullable(MANIFEST).fields, *where_to])
        )
        .groupBy("send_hour", "channel", "priority", "part")
        .applyInArrow(write_parts(plan.lake, attempt.folder), WRITTEN)
        .collect()
    )
    counts = ManifestCounts()
    for row in sorted(entries, key=lambda row: row.entry or ""):
        rejects.update(json.loads(row.left_out))
        if row.entry is not None:
            entry = FileEntry.from_json(row.entry)
            attempt.add(entry)
            counts.add(entry.keys["channel"], json.loads(row.counts))
    return counts


def require_all_explained(n_planned: int, n_written: int, rejects: Counter[str]) -> None:
    """Refuse to publish if a planned message is neither written nor left out for a reason.

    Raises:
        Corrupt: the plan counts other messages than its rows hold, or some were lost on the way.
    """
    if n_lost := n_planned - n_written - rejects.total():
        raise Corrupt(
            f"{n_planned} messages are planned, {n_written} written and {rejects.total()} left out for a "
            f"reason, {abs(n_lost)} too {'few' if n_lost > 0 else 'many'}; nothing was published",
            fix="run `angelia lake verify`, then plan_dispatch and emit_manifests again",
        )


def publish(
    attempt: Attempt,
    plan: ReleasedPlan,
    counts: ManifestCounts,
    rejects: Counter[str],
    sealed_hours: list[str],
    receipts: list[Commit],
) -> Commit:
    """Publish the manifests with all that they were made from."""
    lake = plan.lake
    logs = [*lake.history(REGISTERED, log=LOG), *lake.history("suppressions", log=LOG)]
    return attempt.publish(
        inputs=[plan.decisions, *plan.judged, plan.endpoints, *logs],
        rejects={name: count for name, count in rejects.items() if count},
        params={**({"held_back": plan.held} if plan.held else {}), **receipts_param(receipts)},
        meta={
            "start": plan.decisions.meta["start"],
            "sealed_hours": sealed_hours,
            **(counts.meta() if plan.to_all else {}),
            **plan.released.recorded(),
        },
    )


def _nullable(schema: StructType) -> StructType:
    """Return the schema with everything nullable: addresses and ids are filled in on the way."""
    return StructType([StructField(field.name, field.dataType, True) for field in schema.fields])


if __name__ == "__main__":
    sys.exit(run_job(main))
