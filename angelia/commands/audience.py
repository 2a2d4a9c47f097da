"""`angelia audience`: count, explain, breakdown, overlap, export, lists, save, lookalike.

A PREDICATE may be the name of a saved audience. Reads bitmap_index (and bitmap_days), the catalog's
audiences, user_index; `list`, `import-ldap` and `lookalike` write user_lists, `save` the catalog, `export`
the file it is given and nothing else. Export is the only command that shows user ids, and only in that file.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import typer

from angelia.audience.hints import hints
from angelia.audience.holdout import HeldOut, user_index_of
from angelia.audience.language.fields import FIELDS, FieldKind
from angelia.audience.lists import kind_of, put_ids, put_list, user_ids
from angelia.audience.query import AudienceQuery, as_predicate, index_day, is_name
from angelia.audience.reach import Reach, reach
from angelia.config import load_settings
from angelia.errors import AngeliaError, InvalidInput, NotFound
from angelia.lake import Commit
from angelia.lake.configured import open_lake
from angelia.output import JsonFlag, emit, parse_ds, percent

if TYPE_CHECKING:
    from angelia.catalog.store import CatalogStore

app = typer.Typer(
    no_args_is_help=True,
    help="Count, explain and export audiences: SQL predicates over bitmaps (docs/AUDIENCES.md).",
)

Predicate = Annotated[
    str,
    typer.Argument(
        metavar="PREDICATE", help="A condition, or the name of a saved audience.", show_default=False
    ),
]


def _parse_ds(value: str | None) -> str | None:
    return parse_ds(value) if value else None


Ds = Annotated[
    str | None,
    typer.Option(
        "--ds", metavar="YYYY-MM-DD", help="Day of the index; default: the newest.", callback=_parse_ds
    ),
]


@app.command()
def count(predicate: Predicate, ds: Ds = None, as_json: JsonFlag = False) -> None:
    """Count the people who match, and those of them who may be reached.

    The second number leaves out people who are suppressed, have no channel, or belong to the global
    holdout. The command names each condition that can never be true.
    """
    audience, text = _open(ds, predicate)
    counted = audience.measure(text)
    allowed = _reach(audience, text)
    notes = hints(audience, text)
    result = {
        "predicate": text,
        "ds": audience.index.ds,
        **counted.as_dict(),
        "allowed": allowed.allowed,
        "suppressed": allowed.suppressed,
        "without_channel": allowed.without_channel,
        "held_out": allowed.held_out,
        "channels": {name: one.allowed for name, one in allowed.channels.items()},
        "hints": notes,
    }
    left_out = [f"{allowed.suppressed:,} suppressed", f"{allowed.without_channel:,} without a channel"]
    left_out.append(
        f"{allowed.held_out:,} held out"
        if allowed.held_out is not None
        else "no holdout applied: that night's catalog has no snapshot"
    )
    lines = [
        f"{counted.count:,} match, {allowed.allowed:,} reachable and allowed ({', '.join(left_out)})",
        (
            f"{counted.engine_ms:.1f} ms, {counted.bitmaps_read:,} bitmaps, {counted.bytes_read:,} "
            f"bytes read, index of {audience.index.ds}"
        ),
        *notes,
    ]
    emit(result, lines, as_json)


@app.command()
def explain(predicate: Predicate, ds: Ds = None, as_json: JsonFlag = False) -> None:
    """Print the plan: each node with its people, and the bitmaps and bytes it read."""
    audience, text = _open(ds, predicate)
    counted, plan = audience.explain(text)
    rows = [line.as_dict() for line in plan]
    width = max(len(line.text) + 2 * line.depth for line in plan)
    lines = [
        f"{'  ' * line.depth + line.text:<{width}}  {line.count:>12,}  {line.reads}".rstrip() for line in plan
    ]
    notes = hints(audience, text)
    lines.append(
        f"{counted.count:,} match; {counted.engine_ms:.1f} ms, {counted.bitmaps_read:,} bitmaps, "
        f"{counted.bytes_read:,} bytes read"
    )
    emit(
        {"predicate": text, "ds": audience.index.ds, **counted.as_dict(), "plan": rows, "hints": notes},
        [*lines, *notes],
        as_json,
    )


@app.command()
def breakdown(
    predicate: Predicate,
    by: Annotated[str, typer.Option("--by", metavar="FIELD", help="A text, flag or tag field.")],
    ds: Ds = None,
    as_json: JsonFlag = False,
) -> None:
    """Split the people of a predicate by the values of a field."""
    audience, text = _open(ds, predicate)
    parts, total = audience.breakdown(text, by), audience.count(text)
    lines = [f"{n:>12,}  {percent(100 * n / total):>8}  {value}" for value, n in parts.items()]
    if FIELDS[by.lower()].kind is FieldKind.SET:
        lines.append(f"{total:,} match; a person may have several")
    emit(
        {"predicate": text, "ds": audience.index.ds, "by": by.lower(), "count": total, "parts": parts},
        lines or ["0 match"],
        as_json,
    )


@app.command()
def overlap(
    first: Annotated[
        str,
        typer.Argument(metavar="A", help="A condition, or the name of a saved audience.", show_default=False),
    ],
    second: Annotated[
        str,
        typer.Argument(
            metavar="B", help="Another condition, or the name of another saved audience.", show_default=False
        ),
    ],
    ds: Ds = None,
    as_json: JsonFlag = False,
) -> None:
    """Tell how many people two predicates share."""
    audience, condition = _open(ds, first)
    two = _text(audience, second)
    sizes = audience.overlap(condition, two)
    lines = [
        f"{sizes[name]:>12,}  {what}"
        for name, what in (
            ("first", "in A"),
            ("second", "in B"),
            ("both", "in both"),
            ("either", "in A or B"),
        )
    ]
    emit({"ds": audience.index.ds, "a": condition, "b": two, **sizes}, lines, as_json)


@app.command()
def export(
    name: Predicate,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A .csv or .parquet file to write; it must not exist.", show_default=False
        ),
    ],
    ds: Ds = None,
    as_json: JsonFlag = False,
) -> None:
    """Write the user ids of an audience to a file, in ordinal order."""
    is_parquet = kind_of(file) == "parquet"
    if file.exists():
        raise InvalidInput(f"{file} exists", fix="remove it, or name another file")
    if not file.parent.is_dir():
        raise InvalidInput(f"no folder {file.parent}")
    audience, text = _open(ds, name)
    index = user_index_of(audience.index)
    if index is None:
        raise NotFound(
            f"{audience.index.commit.ref} cites no user_index",
            fix=f"run build_bitmaps --ds {audience.index.ds} again",
        )
    schema, rows = pa.schema([("user_id", pa.string())]), 0
    partial = file.with_name(f".{file.name}.part")
    try:
        # The file holds people's ids, so only its owner may read it.
        partial.touch(mode=0o600, exist_ok=True)
        with pq.ParquetWriter(partial, schema) if is_parquet else csv.CSVWriter(partial, schema) as writer:
            for number, members in enumerate(audience.all_members(text)):
                ids = user_ids(audience.index.lake, index, audience.index.shards_of(number), members)
                writer.write_table(pa.table([ids], schema=schema))
                rows += len(ids)
        partial.replace(file)
    except OSError as error:
        raise AngeliaError(f"cannot write {file}: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
    emit(
        {"predicate": text, "ds": audience.index.ds, "file": str(file), "users": rows},
        [f"{rows:,} user ids written to {file}"],
        as_json,
    )


@app.command("list")
def list_(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name for in_list('NAME').", show_default=False)
    ],
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV or Parquet with a column user_id.", show_default=False)
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Accept an empty list, or mostly unknown ids.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make an explicit user list from a file; unknown ids are counted and left out."""
    _show_list(name, put_list(open_lake(), name, file, force=force), as_json)


@app.command("import-ldap")
def import_ldap(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name for in_list('NAME').", show_default=False)
    ],
    mapping: Annotated[
        Path, typer.Option("--mapping", help="YAML: the group, and the attribute that holds a person's id.")
    ],
    ldif: Annotated[
        Path | None, typer.Option("--ldif", help="Read this file of ldapsearch instead of the server.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Accept an empty list, or mostly unknown ids.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make an explicit user list from a group in a directory (LDAP, Active Directory).

    The password of the mapping's `bind` is in ANGELIA_LDAP_PASSWORD.
    """
    from angelia.audience.directory.groups import load_directory, members_of
    from angelia.audience.directory.ldif import read_ldif
    from angelia.audience.directory.server import PASSWORD, read_server

    directory = load_directory(mapping)
    entries = read_server(directory, os.environ.get(PASSWORD)) if ldif is None else read_ldif(ldif)
    members = members_of(entries, directory)
    meta = {"n_groups": members.n_groups}
    ids = pa.chunked_array([pa.array(members.ids, pa.string())])
    commit = put_ids(open_lake(), name, ids, "the directory's group", force=force, meta=meta)
    more = {"without_id": members.without_id, "without_entry": members.unknown}
    _show_list(name, commit, as_json, {reason: count for reason, count in more.items() if count})


def _show_list(name: str, commit: Commit, as_json: bool, more: Mapping[str, int] | None = None) -> None:
    rejects = {**commit.rejects, **(more or {})}
    left_out = ", ".join(f"{reason} {n:,}" for reason, n in rejects.items()) or "none"
    lines = [
        f"{name}: {commit.meta['n_users']:,} users; left out: {left_out}",
        f"use it as in_list('{name}')",
    ]
    emit(
        {"list": name, "users": commit.meta["n_users"], "rejects": rejects, "commit": commit.ref},
        lines,
        as_json,
    )


@app.command()
def save(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the audience in the catalog.", show_default=False)
    ],
    predicate: Annotated[str, typer.Argument(metavar="PREDICATE", help="The condition.", show_default=False)],
    description: Annotated[str | None, typer.Option("--description", help="What it is for.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Save a predicate as an audience of the catalog, checked as `catalog apply` checks it.

    Campaigns see it from the next snapshot on.
    """
    from angelia.catalog.saved_audiences import save_audience

    lake = open_lake()
    try:
        actor = getpass.getuser()
    except (OSError, KeyError):
        actor = "unknown"
    action, version = save_audience(
        _store(), lake, name, predicate, description, actor=actor, at=datetime.now(UTC)
    )
    notes = hints(*_open(None, predicate)) if lake.partitions("bitmap_index") else []
    emit(
        {"audience": name, "action": action, "version": version, "hints": notes},
        [f"audience/{name} {action} (version {version})", *notes],
        as_json,
    )


@app.command()
def lookalike(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Name of the list to make, for in_list('NAME').", show_default=False
        ),
    ],
    seed: Annotated[
        str, typer.Option("--seed", metavar="PREDICATE", help="People whom the list should resemble.")
    ],
    size: Annotated[int, typer.Option("--size", min=1, help="How many people.")],
    ds: Ds = None,
    random_seed: Annotated[
        int,
        typer.Option("--random-seed", help="Seed of sample and hold-out; the same seed gives the same list."),
    ] = 1,
    as_json: JsonFlag = False,
) -> None:
    """Make a list of the people most like a seed, by a model trained on that seed.

    People of the seed and suppressed people are not in it. The read-out tells how good the model is.
    """
    from angelia.commands.audience_lookalike import check_name, find, lines

    check_name(name)
    # The job reads that night's catalog, so an audience saved since does not exist for it.
    audience, text = _open(ds, seed, of_night=True)
    audience.plan(text)
    members = find(name, text, size, audience.index.ds, random_seed)
    emit(members, lines(members), as_json)


def _store() -> CatalogStore:
    """Open the catalog, when a command needs it: a plain count opens no database."""
    from angelia.catalog.store import CatalogStore

    return CatalogStore.open(load_settings().catalog_url())


def _open(ds: str | None, predicate: str, *, of_night: bool = False) -> tuple[AudienceQuery, str]:
    """Return the day's index with its saved audiences, and the predicate's text.

    The saved audiences are those of now, or with `of_night` those of that night's snapshot.
    """
    lake = open_lake()
    audience = AudienceQuery(lake, index_day(lake, ds, datetime.now(UTC).date()))
    return audience, _text(audience, predicate, of_night=of_night)


def _text(audience: AudienceQuery, predicate: str, *, of_night: bool = False) -> str:
    """Return the predicate's text; the catalog is loaded only where the text needs it."""
    if (is_name(predicate) or "in_audience" in predicate.lower()) and not audience.audiences:
        from angelia.catalog.saved_audiences import night_predicates, saved_predicates

        lake, ds = audience.index.lake, audience.index.ds
        audience.audiences.update(
            night_predicates(lake, ds) if of_night else saved_predicates(_store(), lake, ds)
        )
    where = f" in the catalog of the night of {audience.index.ds}" if of_night else ""
    return as_predicate(audience, predicate, where)


def _reach(audience: AudienceQuery, text: str) -> Reach:
    """Count the matching people whom the policy of the index's night allows to be reached."""
    from angelia.catalog.saved_audiences import holdout_of

    holdout = holdout_of(audience.index.lake, audience.index.ds)
    return reach(audience, text, HeldOut(audience.index, holdout) if holdout else None)
