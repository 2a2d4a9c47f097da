"""Build user features. Grain: user.

Reads user_index, user_profiles, user_endpoints, registered_addresses, user_preferences, preference_choices,
suppressions, user_days, user_pushes; writes user_features, and into suppressions who opted in again. Every
user of the index gets a row. Bad profile values become null and are counted in the commit's rejects. `--ds`
may lie before the oldest snapshot (a first night trains on features as of a week ago): events, pushes,
preferences and suppressions are those up to ds, while profiles and endpoints come from the newest snapshot up
to ds or else the oldest after it, because profiles change slowly. `uplift_score` is by the lift model that
was kept under that name, if one was.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from angelia.config import Settings, load_settings
from angelia.contracts import arrow, dataset
from angelia.contracts.arrow import where
from angelia.contracts.core import LOG
from angelia.contracts.sending import OWN_HOURS
from angelia.contracts.spark import schema as spark_schema
from angelia.errors import NotFound
from angelia.lake import Commit, FileEntry, Lake
from angelia.lake.lake import MAIN
from angelia.output import progress
from angelia.users.choices import CHOICES
from angelia.users.history import PURCHASE, WINDOW_DAYS, event_features, push_features
from angelia.users.index import require_index
from angelia.users.profiles import contact_features, profile_features
from angelia.users.registered import REGISTERED
from angelia.users.suppressions import UNSUBSCRIBED, returns
from models.registry import Registry
from models.uplift.stored import SCORE, newest
from spark_jobs.running.reading import (
    Window,
    ints,
    read_dataset,
    read_files,
    read_window,
    window_commits,
)
from spark_jobs.running.session import (
    ShardResult,
    all_shards,
    arg_parser,
    on_executor,
    open_judged,
    run_job,
    run_shards,
    spark_session,
)
from spark_jobs.shard_work.endpoints import is_denied, living, owned, read_endpoints

COUNTED = ["event_type", "n_events", "value_sum"]
PARTS = 64  # of people who refused, whose words are compared together
PROFILE = [name for name in dataset("user_profiles").names if name != "user_id"]


def build_features(
    index: DataFrame,
    profiles: DataFrame,
    endpoints: DataFrame,
    preferences: DataFrame,
    *,
    ds: str,
    shard_bits: int,
) -> DataFrame:
    """Join the sources' facts about people onto the index, one row a user.

    It has the profile columns, the language as chosen, channels, refusals, own quiet hours, n_profiles,
    n_denied and shard.
    """
    end = F.lit(f"{date.fromisoformat(ds) + timedelta(days=1)}").cast("timestamp")
    # max() of a struct does not depend on the order of duplicates: the latest signup wins, then the largest
    # values.
    person = profiles.groupBy("user_id").agg(
        F.max(F.struct("signup_ts", *[name for name in PROFILE if name != "signup_ts"])).alias("profile"),
        F.count("*").alias("n_profiles"),
    )
    # Of languages and of quiet hours the newest choice counts, whatever its name.
    single = (
        preferences.where(F.col("updated_ts") < end)
        .where(F.col("kind").isin("language", "quiet_hours"))
        .groupBy("user_id", "kind")
        .agg(F.max(F.struct("updated_ts", (~F.col("is_opted_in")).alias("is_no"), "name")).alias("last"))
        .where("NOT last.is_no")
    )
    wish = single.groupBy("user_id").agg(
        F.max(F.when(F.col("kind") == "language", F.col("last.name"))).alias("language"),
        F.max(F.when(F.col("kind") == "quiet_hours", F.col("last.name"))).alias("quiet"),
    )
    # A phone that shows no notification of the app does not make anybody reachable.
    reach = (
        endpoints.where("is_active")
        .groupBy("user_id")
        .agg(
            F.collect_set(F.when(~is_denied(), F.col("channel"))).alias("channels"),
            F.count_if(is_denied()).alias("n_denied"),
        )
    )
    latest = (
        preferences.where(F.col("updated_ts") < end)
        .groupBy("user_id", "kind", "name")
        .agg(F.max(F.struct("updated_ts", (~F.col("is_opted_in")).alias("is_no"))).alias("last"))
    )
    # Only the newest word of a person on a topic or channel counts; of two at one time no is the last.
    refusal = latest.where("last.is_no")
    refused = refusal.groupBy("user_id").agg(
        F.collect_set(F.when(F.col("kind") == "channel", F.col("name"))).alias("refused_channels"),
        F.collect_set(F.when(F.col("kind") == "topic", F.col("name"))).alias("refused_topics"),
    )
    return (
        index.join(person, "user_id", how="left")
        .join(reach, "user_id", how="left")
        .join(refused, "user_id", how="left")
        .join(wish, "user_id", how="left")
        .select(
            "ordinal",
            "user_id",
            *[F.col(f"profile.{name}").alias(name) for name in PROFILE if name != "locale"],
            F.coalesce("language", "profile.locale").alias("locale"),
            F.substring_index("quiet", "-", 1).cast("smallint").alias("quiet_start"),
            F.substring_index("quiet", "-", -1).cast("smallint").alias("quiet_end"),
            "channels",
            "refused_channels",
            "refused_topics",
            F.coalesce("n_profiles", F.lit(0)).alias("n_profiles"),
            F.coalesce("n_denied", F.lit(0)).alias("n_denied"),
            F.shiftright("ordinal", shard_bits).cast("int").alias("shard"),
        )
    )


def opted_in_again(preferences: DataFrame, refusers: DataFrame, *, ds: str) -> DataFrame:
    """Return (user_id, channel, said_us) of refusers whose last word on a channel is yes.

    Of two words at one time no is the last.
    """
    end = F.lit(f"{date.fromisoformat(ds) + timedelta(days=1)}").cast("timestamp")
    return (
        preferences.where(F.col("kind") == "channel")
        .where(F.col("updated_ts") < end)
        .join(refusers, "user_id", how="left_semi")
        .groupBy("user_id", "name")
        .agg(F.max(F.struct("updated_ts", (~F.col("is_opted_in")).alias("is_no"))).alias("last"))
        .where("NOT last.is_no")
        .select("user_id", F.col("name").alias("channel"), F.unix_micros("last.updated_ts").alias("said_us"))
    )


def shard_features(
    people: pa.Table,
    days: pa.Table,
    pushes: pa.Table,
    suppressions: pa.Table,
    *,
    ds: str,
    last: int,
    population_rate: float,
    default_timezone: str,
    lift: bytes | None = None,
) -> tuple[pa.Table, dict[str, int]]:
    """Return one shard's user_features and the refused values by reason.

    Args:
        people: rows in ordinal order.
        last: day number of ds in the window.
        lift: the lift model that fills `uplift_score`, as it is stored.
    """
    n, when = people.num_rows, date.fromisoformat(ds)
    # Users that joined the index meanwhile have rows, but no features yet.
    days, pushes = (where(table, pc.less(table["row"], n)) for table in (days, pushes))
    columns, refused = profile_features(people, when, default_timezone)
    ids = people["user_id"].combine_chunks()
    lists = [people[name].combine_chunks() for name in ("channels", "refused_channels", "refused_topics")]
    columns |= contact_features(ids, *lists, suppressions, when)
    columns |= event_features(
        ints(days["row"]),
        last - ints(days["day"]),
        ints(days["n_events"]),
        np.asarray(pc.equal(days["event_type"], PURCHASE).to_numpy()).astype(bool),
        days["value_sum"].to_numpy(),
        n,
    )
    # Opens are counted by the day they happened, which may lie after the push's.
    sent = pushes.filter(pc.equal(pushes["kind"], "sent"))
    opened = pushes.filter(pc.equal(pushes["kind"], "opened"))
    columns |= push_features(
        ints(sent["row"]),
        last - ints(sent["day"]),
        ints(opened["row"]),
        last - ints(opened["day"]),
        population_rate,
        n,
    )
    refused["duplicate_profile"] = int(np.maximum(people["n_profiles"].to_numpy() - 1, 0).sum())
    refused["no_profile"] = int((people["n_profiles"].to_numpy() == 0).sum())
    refused["permission_denied"] = pc.sum(people["n_denied"]).as_py() or 0
    columns |= {"ordinal": people["ordinal"].cast(pa.uint32()), "user_id": ids}
    columns |= {name: people[name] for name in OWN_HOURS}
    columns["uplift_score"] = uplift_scores(pa.table(columns), lift)
    return pa.table({name: columns[name] for name in dataset("user_features").names}), {
        reason: count for reason, count in refused.items() if count
    }


def uplift_scores(people: pa.Table, lift: bytes | None) -> pa.Array:
    """Return what one message changes for each person by a kept lift model, null without one."""
    if lift is None:
        return pa.nulls(people.num_rows, pa.float64())
    from models.uplift.kept import load  # the models' libraries take half a second to load

    # Nine digits: a file must not depend on the last bit of a sum.
    return pa.array(np.round(load(SCORE, lift).per_message(people), 9).astype(np.float64))


def snapshot(lake: Lake, name: str, ds: str) -> Commit:
    """Return the newest snapshot up to ds, or else the oldest after it.

    Raises:
        NotFound: there is none at all.
    """
    days = [part["ds"] for part in lake.partitions(name)]
    if not days:
        raise NotFound(
            f"{name} has no snapshot", fix=f"it is written by: {', '.join(dataset(name).written_by)}"
        )
    until = [day for day in days if day <= ds]
    return lake.require(name, ds=until[-1] if until else days[0])


def count_pushes(lake: Lake, window: Window, shard_bits: int, shard: int) -> ShardResult:
    """Count one shard's sent and opened pushes."""
    kinds = read_window(lake, "user_pushes", window, ["kind"], shard, shard_bits)["kind"]
    return ShardResult(
        shard, [], {kind: pc.sum(pc.equal(kinds, kind)).as_py() or 0 for kind in ("sent", "opened")}
    )


def note_returns(spark: SparkSession, lake: Lake, preferences: DataFrame, ds: str) -> None:
    """Append to suppressions who opted in again: delivery reads that log only.

    Executors read the log and what was said; the driver gets the new entries alone.
    """
    contract = dataset("suppressions")
    files = [entry for commit in lake.history(contract.name, log=LOG) for entry in commit.files]
    if not files:
        return
    log = read_files(spark, lake, contract.name, files, contract.names)
    refusers = log.where(F.col("reason") == UNSUBSCRIBED).select("user_id").distinct()
    words = opted_in_again(preferences, refusers, ds=ds)
    theirs = log.join(words.select("user_id").distinct(), "user_id", how="left_semi")

    def news(theirs: pa.Table, words: pa.Table) -> pa.Table:
        opted_in = zip(*(words[name].to_pylist() for name in ("user_id", "channel", "said_us")), strict=True)
        return returns(theirs, opted_in)

    parts = [rows.groupBy(F.pmod(F.xxhash64("user_id"), F.lit(PARTS))) for rows in (theirs, words)]
    entries = parts[0].cogroup(parts[1]).applyInArrow(news, spark_schema(contract)).toArrow()
    if entries.num_rows:
        lake.append_log(contract.name, entries.cast(arrow.schema(contract)))
        progress(f"opted in again after unsubscribing: {entries.num_rows:,}")


def kept_lift(settings: Settings) -> tuple[bytes | None, dict[str, str]]:
    """Return the lift model that fills `uplift_score`, and what the commit says of it.

    Raises:
        Corrupt: it is not what was stored.
    """
    stored = newest(Registry.configured(settings).store, SCORE)
    if stored is None:
        return None, {}
    from models.uplift.kept import load

    return stored, {"uplift_score": load(SCORE, stored).version}  # refused here rather than in every worker


def arg_parser_for_job() -> argparse.ArgumentParser:
    """Return this job's parser."""
    return arg_parser(__doc__, after=("sources",))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job."""
    args = arg_parser_for_job().parse_args(argv)
    settings, lake, ds = load_settings(), open_judged(args), args.ds
    index = require_index(lake)
    bits, shards = int(index.meta["shard_bits"]), list(all_shards(index))
    sources = [snapshot(lake, name, ds) for name in ("user_profiles", "user_endpoints", "user_preferences")]
    lift, lift_meta = kept_lift(settings)
    choices, registered = lake.history(CHOICES, log=LOG), lake.history(REGISTERED, log=LOG)
    days, pushes = (
        window_commits(lake, "user_days", ds, WINDOW_DAYS),
        window_commits(lake, "user_pushes", ds, WINDOW_DAYS),
    )
    with spark_session("build_features") as spark, lake.attempt("user_features", ds=ds) as attempt:
        counts = [
            result.stats
            for result in run_shards(spark, shards, lambda shard: count_pushes(lake, pushes, bits, shard))
        ]
        # A user's open rate shrinks towards the population's, which needs one pass over all shards first.
        n_sent = sum(count["sent"] for count in counts)
        rate = min(sum(count["opened"] for count in counts) / n_sent, 1.0) if n_sent else 0.0
        profiles, endpoints, preferences = sources
        columns = ["user_id", "kind", "name", "is_opted_in", "updated_ts"]
        tables = [
            read_dataset(spark, lake, profiles, ["user_id", *PROFILE]),
            read_endpoints(spark, lake, endpoints, ds),
            read_dataset(spark, lake, preferences, columns),
        ]
        if choices:
            tables[2] = tables[2].unionByName(read_dataset(spark, lake, choices, columns))
        if lake.branch == MAIN:
            note_returns(spark, lake, tables[2], ds)
        # Addresses that a provider called gone, or that changed hands, do not make anybody reachable.
        tables[1], others = owned(living(spark, lake, tables[1], ds))
        n_others = others.count() if others is not None else 0
        people = build_features(
            read_dataset(spark, lake, index, ["user_id", "ordinal"]), *tables, ds=ds, shard_bits=bits
        )
        folder, zone = attempt.folder, settings.default_timezone

        def write(group: pa.Table) -> pa.Table:
            with on_executor():
                shard = group["shard"][0].as_py()
                table, refused = shard_features(
                    group.sort_by("ordinal"),
                    read_window(lake, "user_days", days, COUNTED, shard, bits),
                    read_window(lake, "user_pushes", pushes, ["kind"], shard, bits),
                    lake.read_log("suppressions"),
                    ds=ds, last=WINDOW_DAYS - 1, population_rate=rate, default_timezone=zone, lift=lift,
                )  # fmt: skip
                entry = lake.write_file(
                    "user_features", folder, table, f"shard-{shard:05d}.parquet", shards=(shard, shard)
                )
                return pa.table({"entry": [entry.to_json()], "refused": [json.dumps(refused)]})

        rows = (
            people.repartition(max(len(shards), 1), "shard")
            .groupBy("shard")
            .applyInArrow(write, "entry string, refused string")
            .collect()
        )
        refused: dict[str, int] = {}
        # Sorted, so that the commit does not depend on the order in which shards finished.
        for row in sorted(rows, key=lambda row: FileEntry.from_json(row.entry).path):
            attempt.add(FileEntry.from_json(row.entry))
            for reason, count in json.loads(row.refused).items():
                refused[reason] = refused.get(reason, 0) + count
        attempt.publish(
            inputs=[
                index,
                *sources,
                *(commit for _, commit in (*days, *pushes)),
                *lake.history("suppressions", log=LOG),
                *choices,
                *registered,
            ],
            params={"default_timezone": zone, "history_days": WINDOW_DAYS, **lift_meta},
            meta={"n_users": int(index.meta["n_users"]), "open_rate": rate, **lift_meta},
            rejects=refused | ({"address_of_another": n_others} if n_others else {}),
        )


if __name__ == "__main__":
    sys.exit(run_job(main))
