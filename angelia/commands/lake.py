"""`angelia lake log | show | verify | expire | erase`: commits, their bytes, their end.

`log`, `show` and `verify` only read. `expire` deletes files and marks their commits; `erase` rewrites every
file that holds the person and writes suppressions.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from angelia.contracts import dataset
from angelia.errors import Corrupt, InvalidInput
from angelia.lake import expire as expiry
from angelia.lake import verify as verification
from angelia.lake.commit import Commit
from angelia.lake.configured import open_lake
from angelia.lake.erasing import erase as erasure
from angelia.lake.lake import MAIN
from angelia.output import JsonFlag, emit, parse_ds, progress
from angelia.text_files import chunks, require_utf8
from angelia.users.registered import compact

app = typer.Typer(no_args_is_help=True, help="Commits: list them, verify their bytes, expire and erase.")

MAX_LISTED = 20  # problems that the text form lists; --json lists all


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.1f} MiB"


def _summary(commit: Commit, expired: bool) -> dict[str, Any]:
    return {
        "commit": commit.ref,
        "created_ts": commit.created_ts,
        "rows": commit.rows,
        "files": len(commit.files),
        "bytes": sum(entry.bytes for entry in commit.files),
        "rejects": dict(commit.rejects),
        "code_version": commit.code_version,
        "sha256": commit.sha256,
        "state": "expired" if expired else "erased" if commit.erased else "live",
    }


@app.command()
def log(
    name: Annotated[str, typer.Argument(metavar="DATASET", help="Name of a dataset, e.g. user_events.")],
    partition: Annotated[
        list[str] | None,
        typer.Option("--partition", metavar="KEY=VALUE", help="Only this part, e.g. ds=2026-11-14."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the commits of a dataset, oldest first, with rows, rejects and code."""
    lake = open_lake()
    keys = dataset(name).partition
    given: dict[str, str] = {}
    for text in partition or []:
        key, equals, value = text.partition("=")
        if not equals or key not in keys:
            raise InvalidInput(
                f"--partition {text!r} is not KEY=VALUE with KEY of {', '.join(keys)}",
                fix=f"write it as {keys[0]}=…",
            )
        given[key] = parse_ds(value) if key == "ds" else value
    commits = []
    for branch in dict.fromkeys((MAIN, lake.branch)):
        for leaf in lake.leaves(branch, name, {}, expired=True):
            if given.items() <= leaf.items():
                # Expired commits stay in the log: their files are gone, what they say of a later one is not.
                live = set(lake.numbers(branch, name, leaf))
                for number in lake.numbers(branch, name, leaf, expired=True):
                    commits.append(_summary(lake.load(branch, name, leaf, number), number not in live))
    lines = [
        (
            f"{one['commit']:<48} {one['created_ts'][:19]}  {one['rows']:>12,} rows  "
            f"{one['files']:>4} files  {_mib(one['bytes']):>12}"
        )
        + (f"  rejected {sum(one['rejects'].values()):,}" if one["rejects"] else "")
        + ("" if one["state"] == "live" else f"  {one['state']}")
        for one in commits
    ]
    emit(
        {"dataset": name, "branch": lake.branch, "commits": commits},
        lines or [f"{name}: nothing committed"],
        as_json,
    )


@app.command()
def show(
    ref: Annotated[
        str, typer.Argument(metavar="COMMIT", help="As `lake log` prints it: user_events/ds=2026-11-14@7.")
    ],
    as_json: JsonFlag = False,
) -> None:
    """Show one commit: files, inputs, parameters, meta, rejects."""
    lake = open_lake()
    commit = lake.cited(ref)
    live = commit.number in lake.numbers(commit.branch, commit.dataset, commit.partition)
    result = {
        **_summary(commit, not live),
        **asdict(commit),
        "partition": dict(commit.partition),
        "n_files": len(commit.files),
    }
    summary = _summary(commit, not live)
    lines = [
        f"{commit.ref}  {summary['state']}",
        f"  content   {commit.sha256}",
        (
            f"  created   {commit.created_ts}  by code {commit.code_version}, contract version "
            f"{commit.contract_version}"
        ),
        f"  rows      {commit.rows:,} in {len(commit.files)} files, {_mib(summary['bytes'])}",
        *(f"  input     {citation}" for citation in commit.inputs),
        *(f"  param     {key} = {value}" for key, value in sorted(commit.params.items())),
        *(f"  meta      {key} = {value}" for key, value in sorted(commit.meta.items())),
        *(f"  rejected  {reason}: {n:,}" for reason, n in sorted(commit.rejects.items())),
        *(
            f"  file      {entry.path}  {entry.rows:,} rows, {entry.bytes:,} bytes"
            + (f", shards {entry.shards[0]}-{entry.shards[1]}" if entry.shards else "")
            + ("" if entry.conforms else ", taken as it came")
            for entry in commit.files
        ),
    ]
    emit(result, lines, as_json)


@app.command()
def verify(
    name: Annotated[str | None, typer.Option("--dataset", help="Only this dataset.")] = None,
    ds: Annotated[str | None, typer.Option("--ds", metavar="YYYY-MM-DD", help="Only this day.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare all bytes with their commits, contracts and citations.

    The exit code is 2 if anything differs.
    """
    verdict = verification.verify(open_lake(), name, parse_ds(ds) if ds else None, progress)
    counts = f"{verdict.commits:,} commits, {verdict.files:,} files, {_mib(verdict.bytes)} checked"
    lines = [
        f"{one.commit}  {one.path + ': ' if one.path else ''}{one.problem}"
        for one in verdict.problems[:MAX_LISTED]
    ]
    if len(verdict.problems) > MAX_LISTED:
        lines.append(f"… and {len(verdict.problems) - MAX_LISTED} more (--json lists all)")
    lines.append(f"{counts}, {verdict.expired:,} expired, {len(verdict.problems):,} problems")
    emit(asdict(verdict), lines, as_json)
    if verdict.problems:
        raise Corrupt(
            f"{len(verdict.problems)} problems in the lake",
            fix="rerun the jobs that wrote the commits named above; a key comes back from a backup only",
        )


@app.command()
def expire(
    older_than: Annotated[
        int,
        typer.Option(
            "--older-than",
            min=1,
            max=36_500,
            metavar="DAYS",
            help="Superseded commits go after this many days.",
        ),
    ] = 30,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Delete superseded commits, days beyond retention, and leftovers of crashed writers.

    Nothing that a pending plan cites is deleted. Clients' entries about addresses leave their log 30 days
    after a later entry superseded them. What a delivery left beside the lake goes with its manifest.
    """
    from angelia.delivery.ledger.expiry import expire as expire_ledger

    lake = open_lake()
    if not dry_run:
        compact(lake, lake.clock())
    result = expiry.expire(lake, older_than, dry_run)
    n_objects = expire_ledger(lake, older_than, dry_run)
    verb = "would expire" if dry_run else "expired"
    lines = [
        *(f"{verb} {ref}" for ref in result.commits),
        *(f"{verb} orphan {folder}" for folder in result.orphans),
        f"{verb} {len(result.commits):,} commits and {len(result.orphans):,} orphan attempts: "
        f"{result.files:,} files, {_mib(result.bytes)};"
        f" {result.kept_for_plans:,} commits kept for pending plans",
        *([f"{verb} {n_objects:,} objects of deliveries whose manifest is gone"] if n_objects else []),
    ]
    emit({"dry_run": dry_run, **asdict(result), "ledger_objects": n_objects}, lines, as_json)


@app.command()
def erase(
    user: Annotated[
        list[str] | None,
        typer.Option("--user", metavar="USER", help="Id of a person, as the sources write it; repeatable."),
    ] = None,
    user_file: Annotated[
        Path | None,
        typer.Option(
            "--user-file",
            metavar="FILE",
            help="File of ids, one per line; one pass over the lake erases all of them.",
        ),
    ] = None,
    address_file: Annotated[
        Path | None,
        typer.Option(
            "--address-file",
            metavar="FILE",
            help="File of `CHANNEL ADDRESS` lines: messages to them that are nobody's go, too.",
        ),
    ] = None,
    takeover: Annotated[
        bool, typer.Option("--takeover", help="Take over an erasure whose process died on another machine.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Erase people: their ids and addresses leave every file and the intake's database.

    They are suppressed first, so no message goes out meanwhile. If the run is killed in the middle, run it
    again.
    """
    users = [*(user or []), *(_ids(user_file) if user_file else [])]
    if not users and address_file is None:
        raise InvalidInput("nobody to erase", fix="give --user, --user-file or --address-file")
    # A database's parts, which no other command here needs.
    from angelia.intake import erasing as intake
    from angelia.intake.people import aliases

    lake, elsewhere = open_lake(), intake.configured()
    named = aliases.names_of(lake, aliases.read_addresses(address_file)) if address_file else set()
    # Before the people: their addresses lead to these names, also once this was killed.
    first = [*named, *(name for name in aliases.aliases_of(lake, users, elsewhere) if name not in named)]
    for names in (names for names in (first, users) if names):
        result = erasure.erase(lake, names, progress, takeover, elsewhere)
    rows = ", ".join(f"{n:,} of {name}" for name, n in sorted(result.rows.items()))
    people = f"{result.people:,} {'person' if result.people == 1 else 'people'}"
    resumed = f" ({result.resumed:,} begun before)" if result.resumed else ""
    # Tombstones, never ids: this line goes into logs that outlive the person's data.
    more = " …" if len(result.tombstones) > MAX_LISTED else ""
    lines = [
        f"erased {people}{resumed}: {len(result.commits):,} commits rewritten, "
        f"{result.files_deleted:,} old files deleted ({_mib(result.bytes_deleted)})",
        f"rows: {rows or 'none were left'}",
        f"their rows stand under {', '.join(result.tombstones[:MAX_LISTED])}{more}",
    ]
    emit(asdict(result), lines, as_json)


def _ids(path: Path) -> list[str]:
    require_utf8(path)
    text = b"".join(chunks(path)).decode("utf-8-sig")
    ids = [line.strip() for line in text.splitlines() if line.strip()]
    if not ids:
        raise InvalidInput(f"{path} names nobody", fix="write one id a line")
    return ids
