"""Aggregate source rows by user and UTC day. Grain: user x day x event type x item, and push x (sent or opened).

Reads user_events, push_history, push_receipts, dispatch_manifest (for the propensities of our own sends) and user_index; writes user_days
and user_pushes, one commit per UTC day. `--ds X` rebuilds day X, and those of the three days before for which rows arrived on X;
`--days N` does the N days up to X in one go. What would surprise: a duplicate is a second row of one event id of one user on one UTC day;
values are summed in millionths, so that sums do not depend on row order; a day that the source begins after is not made up from late rows.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from angelia.config import load_settings
from angelia.contracts import dataset
from angelia.contracts.spark import schema
from angelia.errors import InvalidInput
from angelia.lake import Commit, FileEntry, Lake
from angelia.output import progress
from spark_jobs._pushes import classify_pushes, distinct_pushes
from spark_jobs._session import arg_parser, open_lake, run_job, spark_session
from spark_jobs._valid import first_reason, valid

# A file holds at least this many users, so that small shards (tests, samples) do not make thousands of files.
USERS_PER_FILE = 1 << 14
MICROS = 1_000_000


def classify_events(events: DataFrame, index: DataFrame, *, late_days: int, group_bits: int) -> DataFrame:
    """Return every event with its `ordinal`, UTC `day`, file `group` and `reason` (null = good).

    Args:
        events: user_events rows with `arrival`, the day of their partition.
    """
    known = events.join(index, on="user_id", how="left")
    day = F.to_date("event_ts")
    reason = first_reason(
        {
            "null_event_id": F.col("event_id").isNull(),
            "invalid_event_id": ~valid("user_events", "event_id"),
            "unknown_user": F.col("ordinal").isNull(),
            "invalid_type": ~valid("user_events", "event_type"),
            "invalid_item": ~valid("user_events", "item"),
            "invalid_value": ~valid("user_events", "value"),
            "null_event_ts": F.col("event_ts").isNull(),
            "future": day > F.col("arrival"),
            "too_late": day < F.date_sub(F.col("arrival"), late_days),
        }
    )
    group = F.shiftright(F.col("ordinal"), group_bits).cast("int")
    return known.select(
        "event_id", "ordinal", "event_type", "item", "value", "event_ts", "arrival", day.alias("day"), group.alias("group"), reason.alias("reason")
    )


def aggregate_events(classified: DataFrame, *, partitions: int) -> DataFrame:
    """Return user_days rows with `day` and `group`; the one shuffle of events."""
    good = classified.where(F.col("reason").isNull()).repartition(partitions, "day", "group")
    distinct = good.groupBy("day", "group", "ordinal", "event_id").agg(F.min(F.struct("event_ts", "event_type", "item", "value")).alias("first"))
    return (
        distinct.groupBy("day", "group", "ordinal", F.col("first.event_type").alias("event_type"), F.col("first.item").alias("item"))
        .agg(
            F.count(F.lit(1)).cast("int").alias("n_events"),
            (F.sum(F.round(F.coalesce("first.value", F.lit(0.0)) * MICROS).cast("long")) / MICROS).alias("value_sum"),
            F.bit_or(F.expr("shiftleft(1, hour(first.event_ts))")).alias("hours"),
        )
        .select("day", "group", "ordinal", "event_type", "item", "n_events", "value_sum", "hours")
    )


@dataclass
class Days:
    """The leaf partitions one run writes: their attempts' folders, and what came back."""

    name: str
    sort: tuple[tuple[str, str], ...]
    targets: list[date]
    files: dict[date, list[FileEntry]] = field(default_factory=lambda: defaultdict(list))
    rows: dict[date, int] = field(default_factory=lambda: defaultdict(int))


def write_groups(frame: DataFrame, days: Days, night: Night, folders: Mapping[str, str], *, weight: str | None = None) -> None:
    """Write one file per day and group on the workers; keep the entries, and the sum of `weight` (default: rows) by day, in `days`."""
    url, branch, endpoint = night.lake.store.url, night.lake.branch, load_settings().s3_endpoint
    group_bits, shard_bits = night.group_bits, night.shard_bits
    name, sort = days.name, list(days.sort)
    drop = ["day", "group"]

    def write(key: tuple[pa.Scalar, ...], table: pa.Table) -> pa.Table:
        day, group = key[0].as_py().isoformat(), key[1].as_py()
        first = (group << group_bits) >> shard_bits
        last = (((group + 1) << group_bits) - 1) >> shard_bits
        rows = table.drop_columns(drop).sort_by(sort)
        total = sum(rows[weight].to_pylist()) if weight else rows.num_rows
        lake = Lake.open(url, branch=branch, endpoint=endpoint)
        entry = lake.write_file(name, folders[day], rows, f"shards-{first:05d}-{last:05d}.parquet", shards=(first, last))
        return pa.table({"day": [day], "answer": [json.dumps({"entry": entry.to_json(), "total": total})]})

    for row in frame.groupBy("day", "group").applyInArrow(write, "day string, answer string").collect():
        answer = json.loads(row.answer)
        day = date.fromisoformat(row.day)
        days.files[day].append(FileEntry.from_json(answer["entry"]))
        days.rows[day] += answer["total"]


class Night:
    """What one run reads: the index, the days it covers, and the source commits there are."""

    def __init__(self, lake: Lake, spark: SparkSession, ds: date, n_days: int, late_days: int) -> None:
        self.lake, self.spark, self.ds, self.late_days = lake, spark, ds, late_days
        self.index = lake.require("user_index", chain="0")
        self.shard_bits = int(self.index.meta["shard_bits"])
        self.group_bits = max(self.shard_bits, USERS_PER_FILE.bit_length() - 1)
        self.covered = [ds - timedelta(days=back) for back in range(n_days - 1, -1, -1)]
        self.partitions = int(spark.conf.get("spark.sql.shuffle.partitions") or 8)
        self.users = spark.read.parquet(*lake.paths(self.index)).select("user_id", F.col("ordinal").cast("long").alias("ordinal"))
        self._heads: dict[tuple[str, date], list[Commit]] = {}

    def heads(self, name: str, day: date) -> list[Commit]:
        """Return the newest commits of every leaf of a source on one day (none, if the source has no such day)."""
        key = (name, day)
        if key not in self._heads:
            if dataset(name).partition == ("ds",):
                commit = self.lake.head(name, ds=day.isoformat())
                self._heads[key] = [commit] if commit else []
            else:
                leaves = self.lake.partitions(name, ds=day.isoformat())
                self._heads[key] = [self.lake.require(name, **leaf) for leaf in leaves]
        return self._heads[key]

    def read(self, name: str, days: Iterable[date], columns: Sequence[str]) -> DataFrame | None:
        """Return the rows of several days with `arrival`, the day of their partition; None if no day has files.

        Raises:
            InvalidInput: a file lacks a column.
        """
        commits = [commit for day in days for commit in self.heads(name, day) if commit.files]
        if not commits:
            return None
        whole = schema(dataset(name))
        parts = []
        for commit in commits:
            paths = self.lake.paths(commit)
            there = pq.read_schema(paths[0]).names
            if missing := [column for column in columns if column not in there]:
                raise InvalidInput(f"{commit.ref}: column {', '.join(missing)} is missing", fix="mend the source, then import the day again")
            # A schema given spares an inference job per day.
            rows = self.spark.read.schema(whole).parquet(*paths)
            parts.append(rows.select(*columns, F.lit(date.fromisoformat(commit.partition["ds"])).alias("arrival")))
        return functools.reduce(DataFrame.unionByName, parts)


def run_events(night: Night) -> list[Commit]:
    """Write user_days."""
    before = [night.covered[0] - timedelta(days=back) for back in range(night.late_days, 0, -1)]
    arrivals = [day for day in [*before, *night.covered] if night.heads("user_events", day)]
    if not any(night.heads("user_events", day) for day in night.covered):
        raise InvalidInput(f"user_events has no rows for {night.covered[0]} to {night.ds}", fix="import the events of these days first")
    columns = ("event_id", "user_id", "event_type", "item", "value", "event_ts")
    events = night.read("user_events", arrivals, columns)
    counts: dict[tuple[date, date | None, str | None], int] = {}
    days = Days("user_days", (("ordinal", "ascending"), ("event_type", "ascending"), ("item", "ascending")), [])
    if events is not None:
        classified = classify_events(events, night.users, late_days=night.late_days, group_bits=night.group_bits)
        for row in classified.groupBy("arrival", "day", "reason").count().collect():
            counts[row.arrival, row.day, row.reason] = row["count"]
    late = {day for arrival, day, reason in counts if reason is None and day is not None and arrival in night.covered and day in before}
    days.targets = [day for day in before if day in late and day in arrivals] + night.covered
    rejects = event_rejects(counts, night, days.targets)
    with ExitStack() as stack:
        attempts = {day: stack.enter_context(night.lake.attempt("user_days", ds=day.isoformat())) for day in days.targets}
        if events is not None:
            wanted = classified.where(F.col("day").isin(*days.targets))
            folders = {day.isoformat(): attempt.folder for day, attempt in attempts.items()}
            rows = aggregate_events(wanted, partitions=night.partitions)
            write_groups(rows, days, night, folders, weight="n_events")
        commits = []
        for day, attempt in attempts.items():
            good = sum(n for (_, event_day, reason), n in counts.items() if reason is None and event_day == day)
            if good > days.rows[day]:
                rejects[day]["duplicate_event"] = good - days.rows[day]
            for entry in days.files[day]:
                attempt.add(entry)
            params, meta = {"late_days": night.late_days}, {"n_events": days.rows[day]}
            commits.append(attempt.publish(inputs=[night.index, *event_sources(night, day)], params=params, meta=meta, rejects=rejects[day]))
    return commits


def event_sources(night: Night, day: date) -> list[Commit]:
    """Return the commits that one day of user_days is made from: its own arrivals and the late ones known by now."""
    arrivals = [day + timedelta(days=back) for back in range(night.late_days + 1)]
    return [commit for arrival in arrivals if arrival <= night.ds for commit in night.heads("user_events", arrival)]


def event_rejects(counts: Mapping[tuple[date, date | None, str | None], int], night: Night, targets: Sequence[date]) -> dict[date, dict[str, int]]:
    """Return what each day's commit left out: the bad rows that arrived on it, wherever they belonged.

    Good rows of a day that the source has no partition for are `before_history`: a day is not made up from late rows.
    """
    rejects: dict[date, dict[str, int]] = {day: defaultdict(int) for day in targets}
    for (arrival, day, reason), n in counts.items():
        if arrival in rejects and reason is not None:
            rejects[arrival][reason] += n
        elif arrival in rejects and day is not None and day not in targets and not night.heads("user_events", day):
            rejects[arrival]["before_history"] += n
    return {day: dict(sorted(found.items())) for day, found in rejects.items()}


def run_pushes(night: Night) -> list[Commit]:
    """Write user_pushes."""
    targets = list(night.covered)
    for back in range(1, night.late_days + 1):
        day = night.covered[0] - timedelta(days=back)
        old = night.lake.head("user_pushes", ds=day.isoformat())
        # The index grows every night: only a change of the pushes themselves is a reason to rebuild.
        if old and {name for name in old.inputs if not name.startswith("user_index/")} != {commit.citation() for commit in push_sources(night, day)}:
            targets.append(day)
    targets.sort()
    reach = sorted({day - timedelta(days=back) for day in targets for back in range(night.late_days + 1)})
    history = night.read(
        "push_history",
        [day for day in reach if any(day in (target, target - timedelta(days=1)) for target in targets)],
        ("message_id", "user_id", "campaign_id", "material_id", "channel", "sent_ts", "slot_propensity", "material_propensity", "opened_ts"),
    )
    receipts = night.read("push_receipts", reach, ("message_id", "user_id", "campaign_id", "material_id", "channel", "kind", "receipt_ts", "sent_ts"))
    manifests = night.read("dispatch_manifest", reach, ("message_id", "slot_propensity", "material_propensity"))
    days = Days("user_pushes", (("ordinal", "ascending"), ("at_ts", "ascending"), ("message_id", "ascending"), ("kind", "ascending")), targets)
    counts: dict[tuple[date | None, str | None], int] = {}
    with ExitStack() as stack:
        attempts = {day: stack.enter_context(night.lake.attempt("user_pushes", ds=day.isoformat())) for day in targets}
        classified = classify_pushes(history, receipts, manifests, night.users, late_days=night.late_days, group_bits=night.group_bits)
        if classified is not None:
            on = F.when(F.col("reason").isNull(), F.col("day")).otherwise(F.col("counted"))
            for row in classified.groupBy(on.alias("on"), "reason").count().collect():
                counts[row.on, row.reason] = row["count"]
            folders = {day.isoformat(): attempt.folder for day, attempt in attempts.items()}
            rows = distinct_pushes(classified, partitions=night.partitions).where(F.col("day").isin(*targets))
            write_groups(rows, days, night, folders)
        commits = []
        for day, attempt in attempts.items():
            rejects = {reason: n for (on, reason), n in sorted(counts.items(), key=str) if on == day and reason is not None}
            if counts.get((day, None), 0) > days.rows[day]:
                rejects["duplicate_push"] = counts[day, None] - days.rows[day]
            for entry in days.files[day]:
                attempt.add(entry)
            commits.append(attempt.publish(inputs=[night.index, *push_sources(night, day)], params={"late_days": night.late_days}, rejects=rejects))
    return commits


def push_sources(night: Night, day: date) -> list[Commit]:
    """Return the commits that one day of user_pushes is made from."""
    found = [commit for back in (1, 0) for commit in night.heads("push_history", day - timedelta(days=back))]
    for back in range(night.late_days, -1, -1):
        for name in ("push_receipts", "dispatch_manifest"):
            found += night.heads(name, day - timedelta(days=back))
    return found


def arg_parser_for_job() -> argparse.ArgumentParser:
    """Return this job's parser."""
    parser = arg_parser(__doc__)
    parser.add_argument("--days", type=_positive, default=1, metavar="N", help="aggregate the N days up to ds (first night); default 1")
    return parser


def _positive(value: str) -> int:
    if not value.isdigit() or not 1 <= int(value) <= 366:
        raise argparse.ArgumentTypeError("a number of days from 1 to 366")
    return int(value)


def main(argv: Sequence[str] | None = None) -> None:
    """Aggregate one day, or several."""
    args = arg_parser_for_job().parse_args(argv)
    lake = open_lake(args.branch)
    with spark_session("aggregate_days") as spark:
        night = Night(lake, spark, date.fromisoformat(args.ds), args.days, load_settings().late_days)
        for run in (run_events, run_pushes):
            report(run(night))


def report(commits: Sequence[Commit]) -> None:
    """Say on stderr what was written and what was left out."""
    rejects: dict[str, int] = defaultdict(int)
    for commit in commits:
        for reason, n in commit.rejects.items():
            rejects[reason] += n
    if commits:
        left_out = ", ".join(f"{reason} {n:,}" for reason, n in sorted(rejects.items())) or "none"
        progress(f"{commits[0].dataset}: {len(commits)} days, {sum(commit.rows for commit in commits):,} rows; left out: {left_out}")


if __name__ == "__main__":
    sys.exit(run_job(main))
