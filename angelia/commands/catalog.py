"""`angelia catalog`: apply, list, show, stop, resume, canary, preview, snapshot, pools.

Reads and writes the catalog store (ANGELIA_CATALOG). `snapshot` writes catalog_snapshot, `stop` and `resume`
write the log stops; `preview` reads user_features.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from angelia.catalog.apply import InvalidDocuments, as_yaml, carry_out, plan
from angelia.catalog.channel_news import tell_workers
from angelia.catalog.checking import happenings, sense
from angelia.catalog.documents import KINDS, AnyDocument, Campaign
from angelia.catalog.preview import keys_of, person_row, preview_campaign, sample_people, standing
from angelia.catalog.problems import Key, Notice, nearest
from angelia.catalog.snapshot import paused_channels, stopped_campaigns, write_snapshot
from angelia.catalog.stops import set_stopped
from angelia.catalog.store import CatalogStore, Head
from angelia.commands.canary.actors import ActorOption, actor_name
from angelia.commands.canary.decide import canary, canary_lines
from angelia.config import load_settings
from angelia.delivery.pools import airflow_pools
from angelia.errors import InvalidInput
from angelia.lake.configured import open_lake
from angelia.output import DsOption, JsonFlag, emit, parse_ds, progress

app = typer.Typer(
    no_args_is_help=True,
    help=("Campaigns, audiences, materials, templates, channels, experiments, and the history of each."),
)

app.command()(canary)
DEFAULT_PATHS = (Path("campaigns"),)


def _store() -> CatalogStore:
    return CatalogStore.open(load_settings().catalog_url())


def _day(given: str | None) -> date:
    return date.fromisoformat(parse_ds(given)) if given else datetime.now(UTC).date()


def _notices(documents: Mapping[Key, AnyDocument], day: date) -> Iterator[Notice]:
    from angelia.planning import limits

    yield from sense.notices(documents, day)
    yield from limits.notices(documents, day)
    yield from happenings.notices(documents, open_lake())


def _expected(texts: list[str]) -> dict[tuple[str, str], int]:
    versions = {}
    for text in texts:
        name, _, version = text.partition("=")
        kind, _, document = name.partition("/")
        if kind not in KINDS or not document or not version.isdigit():
            raise InvalidInput(
                f"--expect {text!r} is not KIND/ID=VERSION", fix="e.g. --expect campaign/price_drop=3"
            )
        versions[kind, document] = int(version)
    return versions


@app.command()
def apply(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]…", help="YAML files and folders; default campaigns/."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and show the difference; write nothing.")
    ] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove documents that no file names.")] = False,
    expect: Annotated[
        list[str] | None,
        typer.Option(
            "--expect",
            metavar="KIND/ID=VERSION",
            help="Version that the file was made from; refused if the catalog has a newer one.",
        ),
    ] = None,
    actor: ActorOption = None,
    on: Annotated[
        str | None,
        typer.Option(
            "--on", metavar="YYYY-MM-DD", help="Day for which warnings are computed; default: today."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check all documents, show what changes, and change it: everything or nothing.

    A warning marks what is allowed but may not be intended. A message that its provider would refuse for any
    recipient is an error: the request is built here, for every material, language and channel.
    """
    who = actor_name(actor)
    store = _store()
    today = _day(on)
    try:
        planned = plan(
            store,
            paths or DEFAULT_PATHS,
            prune=prune,
            expect=_expected(expect or []),
            look=lambda documents: _notices(documents, today),
        )
    except InvalidDocuments as error:
        # The error itself is one line that names the first; who has several wants to correct all at once.
        if len(error.problems) > 1:
            for problem in error.problems:
                progress(problem)
        raise
    if not dry_run:
        carry_out(store, planned, actor=who, at=datetime.now(UTC))
        tell_workers(open_lake(), planned, datetime.now(UTC))
    result = {
        "dry_run": dry_run,
        "created": planned.having("created"),
        "changed": planned.having("changed"),
        "removed": planned.having("removed"),
        "unchanged": len(planned.having("unchanged")),
        "kept": planned.having("kept"),
        "diff": {f"{item.kind}/{item.id}": item.diff for item in planned.items if item.diff},
        "warnings": list(planned.warnings),
    }
    # On stderr, so that a pipe that reads the result as JSON still shows them to a person.
    for warning in planned.warnings:
        progress(f"warning: {warning}")
    # A created document's difference is its whole file: worth reading before it is written, not after.
    lines = [
        item.diff
        for item in planned.items
        if item.action in ("changed", "removed") or (item.action == "created" and dry_run)
    ]
    lines += [
        f"created {item.kind}/{item.id}" for item in planned.items if item.action == "created" and not dry_run
    ]
    counts = ", ".join(
        f"{len(planned.having(action))} {action}" for action in ("created", "changed", "removed", "unchanged")
    )
    kept = f"; {len(planned.having('kept'))} in no file, left alone" if planned.having("kept") else ""
    emit(result, [*lines, f"{'would be: ' if dry_run else ''}{counts}{kept}"], as_json)


@app.command("list")
def list_(
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help=f"One of {', '.join(KINDS)}; default all.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List documents with version, last change and its author; mark stopped campaigns."""
    if kind is not None and kind not in KINDS:
        raise InvalidInput(f"unknown kind {kind!r}{nearest(kind, KINDS)}")
    lake = open_lake()
    stopped, paused = stopped_campaigns(lake), paused_channels(lake)
    heads = [
        head for head in _store().heads().values() if head.document is not None and kind in (None, head.kind)
    ]
    rows = [
        {
            "kind": head.kind,
            "id": head.id,
            "version": head.version,
            "actor": head.actor,
            "at_ts": head.at_ts,
            "stopped": head.kind == "campaign" and head.id in stopped,
            "paused": _paused(head, paused),
        }
        for head in heads
    ]
    lines = [
        f"{head.kind:<10}  {head.id:<40}  v{head.version:<4} {head.at_ts[:16]}Z  {head.actor}"
        + ("  STOPPED" if head.kind == "campaign" and head.id in stopped else "")
        + "".join(f"  PAUSED ON {channel}" for channel in _paused(head, paused))
        for head in heads
    ]
    emit({"documents": rows}, lines or ["the catalog is empty: angelia catalog apply campaigns/"], as_json)


def _paused(head: Head, paused: set[tuple[str, str]]) -> list[str]:
    return sorted(channel for name, channel in paused if head.kind == "campaign" and name == head.id)


@app.command()
def show(
    kind: Annotated[str, typer.Argument(metavar="KIND")],
    name: Annotated[str, typer.Argument(metavar="ID")],
    as_json: JsonFlag = False,
) -> None:
    """Show a document as YAML, and its history of versions, stops and resumes.

    The YAML can be edited and applied as it is printed.
    """
    store = _store()
    head = store.get(kind, name)
    assert head.document is not None
    history = store.history(kind, name)
    trail = [entry for entry in store.audit(kind, name) if entry.version is None]
    result = {
        "kind": kind,
        "id": name,
        "version": head.version,
        "body": head.document.model_dump(mode="json"),
        "history": [
            {
                "version": item.version,
                "action": item.action,
                "actor": item.actor,
                "at_ts": item.at_ts,
                "changed": item.changed,
            }
            for item in history
        ],
        "events": [
            {"action": entry.action, "actor": entry.actor, "at_ts": entry.at_ts, "reason": entry.detail}
            for entry in trail
        ],
    }
    lines = as_yaml(head.document, head.version).splitlines()
    lines += [
        f"# v{item.version} {item.at_ts[:19]}Z {item.actor}: {item.action} {', '.join(item.changed)}".rstrip()
        for item in history
    ]
    lines += [
        f"# {entry.at_ts[:19]}Z {entry.actor}: {entry.action}{f' ({entry.detail})' if entry.detail else ''}"
        for entry in trail
    ]
    lines += canary_lines(head.document)
    emit(result, lines, as_json)


OneChannel = Annotated[
    str | None, typer.Option("--channel", help="Only on this channel; default: the whole campaign.")
]


@app.command()
def stop(
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the log.")],
    channel: OneChannel = None,
    actor: ActorOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Stop a campaign, or pause it on one channel: workers obey within ten seconds.

    The next plans leave it, or the channel, out.
    """
    _stop_or_resume("stop", campaign, reason, channel, actor, as_json)


@app.command()
def resume(
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN")],
    reason: Annotated[str | None, typer.Option("--reason", help="Why; kept in the log.")] = None,
    channel: OneChannel = None,
    actor: ActorOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Resume a campaign, or one channel of it.

    Messages whose window has passed stay unsent.
    """
    _stop_or_resume("resume", campaign, reason, channel, actor, as_json)


def _stop_or_resume(
    action: str, campaign: str, reason: str | None, channel: str | None, actor: str | None, as_json: bool
) -> None:
    who, at = actor_name(actor), datetime.now(UTC)
    done = set_stopped(
        open_lake(), _store(), campaign, action, actor=who, at=at, reason=reason, channel=channel
    )
    word = ("paused" if channel else "stopped") if action == "stop" else "running"
    what = f"{campaign} on {channel}" if channel else campaign
    line = f"{what} is {word}" if done else f"{what} was {word} already"
    emit(
        {
            "campaign": campaign,
            "channel": channel,
            "action": action,
            "changed": done,
            "actor": who,
            "at_ts": at,
            "reason": reason,
        },
        [line],
        as_json,
    )


@app.command()
def preview(
    campaign: Annotated[str, typer.Option("--campaign", metavar="CAMPAIGN", help="Campaign in the catalog.")],
    user: Annotated[
        str | None,
        typer.Option(
            "--user", metavar="USER", help="Render for this person, with their fields and language."
        ),
    ] = None,
    ds: Annotated[
        str | None,
        typer.Option(
            "--ds", metavar="YYYY-MM-DD", help="Night whose features are used; default: the newest."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show every material of a campaign as rendered, in all languages or for one person.

    The preview builds each as a request of the campaign's channels, does so with the messages of 200 people,
    and lists what a provider would refuse.
    """
    from angelia.planning import limits

    lake, store, night = open_lake(), _store(), parse_ds(ds) if ds else None
    person = person_row(lake, user, night) if user else None
    documents = standing(store)
    known = limits.ProviderLimits.of_documents(documents)
    shown = preview_campaign(store, campaign, person, known.refusals)
    document = documents["campaign", campaign]
    assert isinstance(document, Campaign)
    day, mine = _day(night), keys_of(document, documents)
    seen = (*_notices(documents, day), *sense.shown_numbers(documents))
    warnings = [str(notice) for notice in seen if notice.key in mine or ("campaign", campaign) in notice.keys]
    # For one person the question is what they get; the sample answers how many would get nothing.
    sampled, people = ("", []) if user else sample_people(lake, night, limits.columns(document, documents))
    refused = limits.refused_people(document, documents, known, people)
    lines = [f"to {document.goes_to}"] if document.devices else []
    for item in shown:
        lines.append(
            f"{item['material']} [{item['locale']}]"
            + (f"  cannot be sent: {item['rejected']}" if item["rejected"] else "")
        )
        lines += [f"  {item[part]}" for part in ("title", "body", "link") if item[part]]
        lines += [f"  would be rejected: {why}" for why in item["refused"].values()]
    lines += [
        f"of {len(people)} people of {sampled}, {count} would not get {what}"
        for what, count in sorted(refused.items())
    ]
    for warning in warnings:
        progress(f"warning: {warning}")
    result: dict[str, object] = {"campaign": campaign, "previews": shown, "warnings": warnings}
    if document.devices:
        result["devices"] = document.devices
    if people:
        result["sample"] = {"ds": sampled, "people": len(people), "refused": refused}
    emit(result, lines, as_json)


@app.command()
def snapshot(ds: DsOption, as_json: JsonFlag = False) -> None:
    """Write a night's catalog into the lake; that night's jobs read nothing else.

    A replay branch keeps the catalog as it stood on that night, where main has it.
    """
    lake = open_lake()
    standing = lake.head("catalog_snapshot", ds=ds) if lake.branch != "main" else None
    commit = standing or write_snapshot(lake, _store(), ds)
    stopped = list(commit.meta["stopped"])
    line = f"{commit.ref}: {commit.rows} documents" + (f", stopped: {', '.join(stopped)}" if stopped else "")
    emit(
        {
            "commit": commit.ref,
            "documents": commit.rows,
            "sha256": commit.params["catalog_sha256"],
            "stopped": stopped,
        },
        [line],
        as_json,
    )


@app.command()
def pools(
    spark_slots: Annotated[
        int, typer.Option("--spark-slots", min=1, max=128, help="Spark jobs at a time, on all workers.")
    ] = 1,
) -> None:
    """Print Airflow's pools as JSON, for `airflow pools import FILE`.

    Each channel that every installation knows has ANGELIA_DELIVERY_SLOTS slots, the pool of the others four
    more.
    """
    typer.echo(json.dumps(airflow_pools(load_settings().delivery_slots, spark_slots), indent=1))
