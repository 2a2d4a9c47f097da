"""Aggregate source rows by user and UTC day.

Grain: user x day x event type x item, and push x (sent or opened). Reads user_events, push_history,
push_receipts, dispatch_manifest (for the propensities of our own sends) and user_index; writes user_days and
user_pushes, one commit per UTC day. `--ds X` rebuilds day X, and those of the three days before for which
rows arrived on X; `--days N` does the N days up to X in one go. Surprise: a duplicate is a second row of one
event id of one user on one UTC day; values are summed in millionths, so that sums do not depend on row order;
late rows alone never make a day from before the source begins.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import date, timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from angelia.config import load_settings
from angelia.contracts import dataset
from angelia.errors import InvalidInput
from angelia.lake import Attempt, Commit, Lake
from angelia.output import progress
from angelia.users.index import require_index
from spark_jobs.running.reading import looking, read_dataset
from spark_jobs.running.session import arg_parser, open_judged, run_job, spark_session
from spark_jobs.shard_work.day_files import DayAnswers, Target, event_writer, gather, push_writer
from spark_jobs.shard_work.pushes import classify_pushes
from spark_jobs.shard_work.valid import BROKEN, breaks, first_reason, with_broken

# A file holds at least this many users, so that small shards (tests, samples) do not make thousands of files.
USERS_PER_FILE = 1 << 14
RULED = ("event_id", "event_type", "item", "value")  # columns of user_events that a row may be left out for


def classify_events(
    events: DataFrame, index: DataFrame, known_days: Sequence[date], *, late_days: int, group_bits: int
) -> DataFrame:
    """Return every event with its `ordinal`, UTC `day`, file `group` and `reason`.

    A good event has a null reason; another has a group below 0, and the day it arrived.

    Args:
        events: user_events rows with `broken` and `arrival`, the day of their partition.
        known_days: days that the source has; late rows alone do not make another (`before_history`).
    """
    known = events.join(index, on="user_id", how="left")
    day = F.to_date("event_ts")
    reason = first_reason(
        {
            "null_event_id": F.col("event_id").isNull(),
            "invalid_event_id": breaks(RULED, "event_id"),
            "unknown_user": F.col("ordinal").isNull(),
            "invalid_type": breaks(RULED, "event_type"),
            "invalid_item": breaks(RULED, "item"),
            "invalid_value": breaks(RULED, "value"),
            "null_event_ts": F.col("event_ts").isNull(),
            "future": day > F.col("arrival"),
            "too_late": day < F.date_sub(F.col("arrival"), late_days),
            "before_history": ~day.isin(*known_days),
        }
    )
    kept = ("event_id", "ordinal", "event_type", "item", "value", "event_ts", "arrival")
    return route(
        known.select(*kept, day.alias("day"), reason.alias("reason")),
        bad_day="arrival",
        group_bits=group_bits,
    )


def route(classified: DataFrame, *, bad_day: str, group_bits: int) -> DataFrame:
    """Add the file `group` of each row.

    Rows with a reason travel only to be counted: in a group below 0 per partition read, under the day whose
    commit counts them.
    """
    is_good = F.col("reason").isNull()
    group = F.when(is_good, F.shiftright(F.col("ordinal"), group_bits).cast("int")).otherwise(
        -1 - F.spark_partition_id()
    )
    return classified.withColumn("group", group).withColumn(
        "day", F.when(is_good, F.col("day")).otherwise(F.col(bad_day))
    )


class ClosedDay:
    """What one run reads: the index, the days it covers, and the sources' commits."""

    def __init__(self, lake: Lake, spark: SparkSession, ds: date, n_days: int, late_days: int) -> None:
        self.lake, self.spark, self.ds, self.late_days = lake, spark, ds, late_days
        self.index = require_index(lake)
        self.shard_bits = int(self.index.meta["shard_bits"])
        self.group_bits = max(self.shard_bits, USERS_PER_FILE.bit_length() - 1)
        self.covered = [ds - timedelta(days=back) for back in range(n_days - 1, -1, -1)]
        self.users = read_dataset(spark, lake, self.index, ["user_id", "ordinal"])
        self._heads: dict[tuple[str, date], list[Commit]] = {}

    @property
    def partitions(self) -> int:
        """Pieces of an exchange, by what has been read until now."""
        return int(self.spark.conf.get("spark.sql.shuffle.partitions") or 8)

    def heads(self, name: str, day: date) -> list[Commit]:
        """Return the newest commits of every leaf of a source on one day, if any."""
        if (name, day) not in self._heads:
            self.look(name, [day])
        return self._heads[name, day]

    def look(self, name: str, days: Iterable[date]) -> None:
        """Look at days of a source side by side: in a bucket each look is a round trip."""
        days = [day for day in days if (name, day) not in self._heads]
        is_by_day = dataset(name).partition == ("ds",)
        looker = self.lake.listed(name, min(days).isoformat()) if is_by_day and days else self.lake

        def newest(day: date) -> list[Commit]:
            if is_by_day:
                commit = looker.head(name, ds=day.isoformat())
                return [commit] if commit else []
            one_day = self.lake.listed(f"{name}/ds={day}")
            leaves = one_day.partitions(name, ds=day.isoformat())
            return [one_day.require(name, **leaf) for leaf in leaves]

        with looking(self.lake) as pool:
            heads = pool.map(newest, days)
            self._heads |= {(name, day): commits for day, commits in zip(days, heads, strict=True)}

    def read(
        self, name: str, days: Iterable[date], columns: Sequence[str], ruled: Sequence[str] = ()
    ) -> DataFrame | None:
        """Return the rows of several days with `arrival`, the day of their partition.

        `broken` says which of the `ruled` columns break their rules. None if no day has files.
        """
        how = {"change": with_broken(name, ruled), "adding": BROKEN} if ruled else {}
        days = list(days)
        self.look(name, days)
        parts = [
            # One scan a day, however many hours its receipts came in.
            read_dataset(self.spark, self.lake, commits, columns, **how).withColumn("arrival", F.lit(day))
            for day, commits in ((day, self.heads(name, day)) for day in days)
            if any(commit.files for commit in commits)
        ]
        if not parts:
            return None
        return functools.reduce(DataFrame.unionByName, parts)

    def target(self, name: str, attempts: Mapping[date, Attempt]) -> Target:
        """Return where the workers write."""
        folders = {day.isoformat(): attempt.folder for day, attempt in attempts.items()}
        endpoint = load_settings().s3_endpoint
        return Target(
            self.lake.store.url, self.lake.branch, endpoint, name, folders, self.group_bits, self.shard_bits
        )


def run_events(night: ClosedDay) -> list[Commit]:
    """Write user_days."""
    before = [night.covered[0] - timedelta(days=back) for back in range(night.late_days, 0, -1)]
    older = [night.covered[0] - timedelta(days=back) for back in range(2 * night.late_days, 0, -1)]
    night.look("user_events", [*older, *night.covered])
    arrivals = [day for day in [*before, *night.covered] if night.heads("user_events", day)]
    if not set(arrivals) & set(night.covered):
        raise InvalidInput(
            f"user_events has no rows for {night.covered[0]} to {night.ds}",
            fix="import the events of these days first",
        )
    candidates = sorted({*arrivals, *night.covered})
    events = night.read(
        "user_events", arrivals, ("event_id", "user_id", "event_type", "item", "value", "event_ts"), RULED
    )
    # A late row may belong to a day up to late_days before the first arrival that is read.
    known = [*(day for day in older if night.heads("user_events", day)), *night.covered]
    with ExitStack() as stack:
        attempts = {
            day: stack.enter_context(night.lake.attempt("user_days", ds=day.isoformat()))
            for day in candidates
        }
        days: dict[date, DayAnswers] = {}
        if events is not None:
            classified = classify_events(
                events, night.users, known, late_days=night.late_days, group_bits=night.group_bits
            )
            wanted = classified.where(F.col("day").isin(*candidates)).repartition(
                night.partitions, "day", "group"
            )
            write = event_writer(night.target("user_days", attempts))
            days = gather(wanted.groupBy("day", "group").applyInArrow(write, "answer string"))
        commits = []
        for day, attempt in attempts.items():
            gathered = days.get(day, DayAnswers())
            if day not in night.covered and gathered.latest < night.covered[0].isoformat():
                continue  # nothing arrived for it since it was made
            for entry in gathered.files:
                attempt.add(entry)
            inputs, rejects = (
                [night.index, *event_sources(night, day)],
                dict(sorted(gathered.rejects.items())),
            )
            commits.append(
                attempt.publish(
                    inputs=inputs,
                    params={"late_days": night.late_days},
                    meta={"n_events": gathered.n},
                    rejects=rejects,
                )
            )
    return commits


def event_sources(night: ClosedDay, day: date) -> list[Commit]:
    """Return the commits that one day of user_days is made from.

    They are its own arrivals and the late ones known by now.
    """
    arrivals = [day + timedelta(days=back) for back in range(night.late_days + 1)]
    return [
        commit
        for arrival in arrivals
        if arrival <= night.ds
        for commit in night.heads("user_events", arrival)
    ]


def run_pushes(night: ClosedDay) -> list[Commit]:
    """Write user_pushes."""
    targets = list(night.covered)
    for back in range(1, night.late_days + 1):
        day = night.covered[0] - timedelta(days=back)
        old = night.lake.head("user_pushes", ds=day.isoformat())
        # The index grows every night: only a change of the pushes themselves is a reason to rebuild.
        if old and {name for name in old.inputs if not name.startswith("user_index/")} != {
            commit.citation() for commit in push_sources(night, day)
        }:
            targets.append(day)
    targets.sort()
    # A receipt arrives up to late_days after its push; a push's own row may stand one partition earlier.
    reach = sorted({day - timedelta(days=back) for day in targets for back in range(night.late_days + 1)})
    history = night.read(
        "push_history",
        [day for day in reach if any(day in (target, target - timedelta(days=1)) for target in targets)],
        (
            "message_id",
            "user_id",
            "campaign_id",
            "material_id",
            "channel",
            "sent_ts",
            "slot_propensity",
            "material_propensity",
            "opened_ts",
        ),
    )
    receipts = night.read(
        "push_receipts",
        reach,
        (
            "message_id",
            "user_id",
            "campaign_id",
            "material_id",
            "channel",
            "kind",
            "receipt_ts",
            "sent_ts",
            "reason",
        ),
    )
    manifests = night.read(
        "dispatch_manifest", reach, ("message_id", "slot_propensity", "material_propensity")
    )
    with ExitStack() as stack:
        attempts = {
            day: stack.enter_context(night.lake.attempt("user_pushes", ds=day.isoformat())) for day in targets
        }
        classified = classify_pushes(history, receipts, manifests, night.users, late_days=night.late_days)
        days: dict[date, DayAnswers] = {}
        if classified is not None:
            # Grouped by people alone: a receipt may repeat one of another day.
            wanted = route(classified, bad_day="counted", group_bits=night.group_bits).repartition(
                night.partitions, "group"
            )
            days = gather(
                wanted.groupBy("group").applyInArrow(
                    push_writer(night.target("user_pushes", attempts)), "answer string"
                )
            )
        commits = []
        for day, attempt in attempts.items():
            gathered = days.get(day, DayAnswers())
            for entry in gathered.files:
                attempt.add(entry)
            inputs = [night.index, *push_sources(night, day)]
            rejects = dict(sorted(gathered.rejects.items()))
            commits.append(
                attempt.publish(inputs=inputs, params={"late_days": night.late_days}, rejects=rejects)
            )
    return commits


def push_sources(night: ClosedDay, day: date) -> list[Commit]:
    """Return the commits that one day of user_pushes is made from."""
    commits = [
        commit for back in (1, 0) for commit in night.heads("push_history", day - timedelta(days=back))
    ]
    for back in range(night.late_days, -1, -1):
        for name in ("push_receipts", "dispatch_manifest"):
            commits += night.heads(name, day - timedelta(days=back))
    return commits


def arg_parser_for_job() -> argparse.ArgumentParser:
    """Return this job's parser."""
    parser = arg_parser(__doc__, after=("sources",))
    parser.add_argument(
        "--days",
        type=_positive,
        default=1,
        metavar="N",
        help="aggregate the N days up to ds (first night); default 1",
    )
    return parser


def _positive(value: str) -> int:
    if not value.isdigit() or not 1 <= int(value) <= 366:
        raise argparse.ArgumentTypeError("a number of days from 1 to 366")
    return int(value)


def main(argv: Sequence[str] | None = None) -> None:
    """Aggregate one day, or several."""
    args = arg_parser_for_job().parse_args(argv)
    lake = open_judged(args)
    with spark_session("aggregate_days") as spark:
        night = ClosedDay(lake, spark, date.fromisoformat(args.ds), args.days, load_settings().late_days)
        for run in (run_events, run_pushes):
            report(run(night))


def report(commits: Sequence[Commit]) -> None:
    """Print on stderr what was written and what was left out."""
    rejects: dict[str, int] = defaultdict(int)
    for commit in commits:
        for reason, n in commit.rejects.items():
            rejects[reason] += n
    if commits:
        left_out = ", ".join(f"{reason} {n:,}" for reason, n in sorted(rejects.items())) or "none"
        progress(
            f"{commits[0].dataset}: {len(commits)} days, "
            f"{sum(commit.rows for commit in commits):,} rows; left out: {left_out}"
        )


if __name__ == "__main__":
    sys.exit(run_job(main))
