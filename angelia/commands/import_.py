"""`angelia import`: CSV, Parquet and Kafka topics into the source contracts, by a mapping.

Reads the files or the topic, and the mapping; writes partitions of `user_profiles`, `user_endpoints`,
`user_preferences`, `user_events`, `push_history`, `push_receipts`, `experiment_assignments` and
`external_ids`, entries of `suppressions`, and samples of rejected rows in HOME/rejects. Nothing is written to
the lake before every row of every output (of a topic: of a portion) has been mapped and checked, and nothing
at all where too many are bad.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import duckdb
import typer

from angelia.catalog.snapshot import nearest_catalog
from angelia.config import Settings, load_settings
from angelia.errors import AngeliaError, InvalidInput
from angelia.importing import inputs, rejects, staging, writing
from angelia.importing.kafka.taking import Taker
from angelia.importing.known import KNOWN, leave_out_known
from angelia.importing.loading import load_mapping
from angelia.importing.mapping import Mapping
from angelia.importing.staged import Staged, Window
from angelia.lake import Lake
from angelia.lake.configured import open_lake
from angelia.lake.views import scratch_connection
from angelia.output import JsonFlag, emit, parse_ds, percent, progress

REJECT_PCT = 5.0
REFUSALS = ("suppressions", "user_preferences")
ABOUT_CHANNELS = (*REFUSALS, "user_endpoints")


def command(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILES…",
            help="CSV or Parquet files; the mapping's patterns say which is which. None for a Kafka source.",
        ),
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option("--mapping", help="YAML mapping; reference: docs/IMPORT.md.")
    ] = None,
    ds: Annotated[
        str | None,
        typer.Option(
            "--ds", metavar="YYYY-MM-DD", help="Last day, and day of snapshots; default: the data's last day."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Map, check and count; write nothing to the lake.")
    ] = False,
    max_reject_pct: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=100.0,
            help="Refuse when an output rejects more than this share of its rows; default 5, and 0 for "
            "suppressions and preferences, whose rows may be refusals.",
        ),
    ] = None,
    events: Annotated[
        bool,
        typer.Option(
            "--events",
            help="Read the topic of the mapping that ANGELIA_EVENTS names; do nothing if it names none.",
        ),
    ] = False,
    allow_lost: Annotated[
        bool,
        typer.Option("--allow-lost", help="Go on where the topic's messages expired before they were read."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Map CSV or Parquet files, or a Kafka topic, into the source contracts."""
    settings = load_settings()
    if events and mapping is None:
        # For a scheduler: an installation whose events come as files has nothing to do here.
        if not settings.events:
            emit({"topic": None}, ["no topic: ANGELIA_EVENTS names no mapping"], as_json)
            return
        mapping = Path(settings.events)
    if mapping is None:
        raise InvalidInput("no mapping is given", fix="give --mapping; docs/IMPORT.md says what stands in it")
    if load_mapping(mapping).source is not None:
        if files or ds is not None:
            raise InvalidInput("the mapping reads a topic", fix="leave out FILES and --ds")
        taken = run_topic(
            settings,
            mapping,
            dry_run=dry_run,
            max_reject_pct=REJECT_PCT if max_reject_pct is None else max_reject_pct,
            allow_lost=allow_lost,
        )
        emit(taken, _topic_lines(taken), as_json)
        return
    if events or allow_lost or not files:
        fix = (
            "--events and --allow-lost are for a Kafka source"
            if files
            else "name the files after the mapping"
        )
        raise InvalidInput("the mapping reads files", fix=fix)
    day = None if ds is None else parse_ds(ds)
    result = run_import(settings, mapping, files, ds=day, dry_run=dry_run, max_reject_pct=max_reject_pct)
    emit(result, _lines(result), as_json)


def run_import(
    settings: Settings,
    mapping_path: Path,
    files: Sequence[Path],
    *,
    ds: str | None = None,
    dry_run: bool = False,
    max_reject_pct: float | None = None,
) -> dict[str, Any]:
    """Import files and return the counts per output and dataset.

    Raises:
        InvalidInput: the mapping, a file or a column is wrong, or more than `max_reject_pct` percent of an
            output's rows; nothing was written.
    """
    mapping = load_mapping(mapping_path)
    matched = inputs.match_files(mapping, files)
    with (
        tempfile.TemporaryDirectory(prefix="angelia-import-") as spill,
        scratch_connection("import") as connection,
    ):
        opened = {}
        for number, (name, declared) in enumerate(mapping.inputs.items()):
            progress(f"reading {name}: {', '.join(path.name for path in matched[name])}")
            opened[name] = inputs.open_input(connection, number, declared, matched[name], Path(spill))
        window, staged = staging.stage(connection, mapping, opened, ds)
        lake = open_lake(settings=settings)
        for item in staged:
            leave_out_known(connection, lake, item)
        broken = [line for entry in opened.values() for line in entry.broken_lines]
        samples = rejects.write_samples(
            connection,
            staged,
            settings.home.absolute() / "rejects",
            f"{mapping.name}-{window.ds}",
            broken,
        )
        result = _result(mapping, window, staged, samples)
        _refuse(staged, max_reject_pct, samples)
        result["warnings"] = _without_effect(connection, staged, lake, window.ds)
        if not dry_run:
            lineage = writing.Lineage(
                mapping.name,
                hashlib.sha256(mapping_path.read_bytes()).hexdigest(),
                {path.name: inputs.sha256(path) for paths in matched.values() for path in paths},
                window,
            )
            progress(f"writing partitions up to {window.ds}")
            for name, (commits, n_new) in writing.publish(connection, lake, staged, lineage).items():
                result["datasets"][name] |= {
                    "commits": [commit.ref for commit in commits],
                    "n_new_commits": n_new,
                }
    return result | {"dry_run": dry_run}


def run_topic(
    settings: Settings,
    mapping_path: Path,
    *,
    dry_run: bool = False,
    max_reject_pct: float = REJECT_PCT,
    allow_lost: bool = False,
) -> dict[str, Any]:
    """Take what the lake lacks of a mapping's topic, and return the counts.

    Raises:
        AngeliaError: no connector, no broker, a wrong mapping, or messages that expired unread.
    """
    # Spark takes a second to import, and files need none.
    from spark_jobs.running.kafka_topic import SparkTopic
    from spark_jobs.running.session import spark_session

    taker = Taker(
        open_lake(settings=settings),
        load_mapping(mapping_path),
        hashlib.sha256(mapping_path.read_bytes()).hexdigest(),
        settings.home,
        max_reject_pct,
        allow_lost,
    )
    progress(f"reading topic {taker.kafka.topic}")
    with spark_session("import_events") as spark, SparkTopic(spark, taker.kafka) as topic:
        return taker.take(topic, dry_run=dry_run).to_json()


def _topic_lines(taken: dict[str, Any]) -> list[str]:
    what = " (dry run: nothing written to the lake)" if taken["dry_run"] else ""
    lines = [f"{taken['mapping']}: {taken['rows']:,} events of {taken['read']:,} messages{what}"]
    for word in ("filtered", "rejected", "nulled"):
        lines += [f"    {word} {n:>10,}  {reason}" for reason, n in taken[word].items()]
    if taken["lost"]:
        lines.append(f"  {taken['lost']:,} messages expired before they were read")
    if taken["reject_samples"]:
        lines.append(f"  samples of rejected messages: {taken['reject_samples']}")
    return lines


def _result(
    mapping: Mapping, window: Window, staged: Sequence[Staged], samples: Path | None
) -> dict[str, Any]:
    datasets: dict[str, dict[str, Any]] = {}
    for item in staged:
        entry = datasets.setdefault(item.output.dataset, {"rows": 0, "commits": [], "n_new_commits": 0})
        entry["rows"] += item.n_kept
    outputs = [
        {
            "dataset": item.output.dataset,
            "input": item.output.input,
            "read": item.n_read,
            "rows": item.n_kept,
            "filtered": item.filtered,
            "rejected": item.rejected,
            "nulled": item.nulled,
        }
        for item in staged
    ]
    return {
        "mapping": mapping.name,
        "ds": window.ds,
        "shift_days": window.shift_days,
        "datasets": datasets,
        "outputs": outputs,
        "reject_samples": str(samples) if samples else None,
    }


def _refuse(staged: Sequence[Staged], asked_pct: float | None, samples: Path | None) -> None:
    for item in staged:
        if item.output.empty:
            continue
        name = item.output.dataset
        # A refusal that is left out is a message to somebody who wanted none: nobody is lost unasked.
        may_refuse = asked_pct is None and name in REFUSALS
        max_reject_pct = 0.0 if may_refuse else REJECT_PCT if asked_pct is None else asked_pct
        if item.reject_pct > max_reject_pct:
            reason, n = max(item.rejected.items(), key=lambda entry: entry[1])
            raise InvalidInput(
                f"{name}: {sum(item.rejected.values()):,} of {item.n_read:,} rows rejected "
                f"({percent(item.reject_pct)} > {max_reject_pct:g} %), "
                f"most for {reason!r} ({n:,}); nothing was written",
                fix="; ".join(
                    [f"samples are in {samples}"] * bool(samples)
                    + ["--max-reject-pct says how many refusals may be lost"] * may_refuse
                )
                or None,
            )
        for column, n in item.nulled_by_default().items():
            if 100.0 * n > max_reject_pct * item.n_kept:
                raise InvalidInput(
                    f"{name}: {n:,} of {item.n_kept:,} people would lose their {column}; nothing was written",
                    fix="correct the mapping, or give the column `invalid: 'null'`",
                )
        if KNOWN in item.filtered:
            continue  # the log has them all: the same file again
        if not item.n_kept and not any(other.n_kept for other in staged if other.output.dataset == name):
            raise InvalidInput(
                f"{name}: none of {item.n_read:,} rows is left; nothing was written",
                fix="check filters and --ds",
            )


def _without_effect(
    connection: duckdb.DuckDBPyConnection, staged: Sequence[Staged], lake: Lake, ds: str
) -> list[str]:
    """Return how many rows name topics and channels that the catalog does not have.

    The names themselves are left out: a column that slipped would show people's data.
    """
    try:
        catalog = nearest_catalog(lake, ds)
    except AngeliaError:
        return []  # whoever reads the catalog says what is wrong with it
    if catalog is None:
        return []
    direct = [template.direct.topic for template in catalog.templates.values() if template.direct]
    topics = {campaign.topic for campaign in catalog.campaigns.values()}.union(
        direct, catalog.policy.topics or ()
    )
    warnings = []
    for item in staged:
        if item.output.empty or item.output.dataset not in ABOUT_CHANNELS:
            continue
        what = "kind, name" if item.output.dataset == "user_preferences" else "'channel', channel"
        names = connection.sql(
            f"SELECT {what}, count(*) FROM {item.table} WHERE __filtered IS NULL AND __rejected IS NULL "  # noqa: S608
            "GROUP BY ALL"
        ).fetchall()
        for kind, known in (("topic", topics), ("channel", set(catalog.channels))):
            n = sum(n for its, name, n in names if its == kind and name is not None and name not in known)
            if n:
                warnings.append(
                    f"{item.output.dataset}: {n:,} rows name a {kind} that the catalog does not have and "
                    f"have no effect; it has {', '.join(sorted(known)) or 'none'}"
                )
    return warnings


def _lines(result: dict[str, Any]) -> list[str]:
    moved = f", times moved by {result['shift_days']} days" if result["shift_days"] else ""
    lines = [
        (
            f"{result['mapping']}: up to "
            f"{result['ds']}{moved}{' (dry run: nothing written to the lake)' if result['dry_run'] else ''}"
        )
    ]
    for output in result["outputs"]:
        lines.append(
            f"  {output['dataset']:<17} {output['rows']:>10,} rows of {output['read']:,} from "
            f"{output['input'] or '(empty)'}"
        )
        for word in ("filtered", "rejected", "nulled"):
            lines += [f"    {word} {n:>10,}  {reason}" for reason, n in output[word].items()]
    if not result["dry_run"]:
        for name, entry in result["datasets"].items():
            lines.append(f"  {name:<17} {len(entry['commits'])} commits, {entry['n_new_commits']} new")
    if result["reject_samples"]:
        lines.append(f"  samples of rejected rows: {result['reject_samples']}")
    return lines + [f"warning: {warning}" for warning in result["warnings"]]
