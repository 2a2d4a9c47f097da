"""`angelia deliver`, `sandbox` and `ledger`: send manifests, and account for every row.

`deliver` reads dispatch_manifest and dispatch_fallover parts, stops and suppressions; it writes seals,
claims, intents and outcomes beside the lake, and delivery_ledger, push_receipts, suppressions and
dispatch_fallover. `ledger status` and `ledger due` only read; `ledger release` and `ledger resend` write
follow-up parts. `sandbox` writes below its own folder.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from angelia.answers import OperatorAnswer, require_approval
from angelia.config import load_settings
from angelia.days import require_day
from angelia.errors import InvalidInput
from angelia.lake.configured import open_lake
from angelia.output import DsOption, JsonFlag, days_between, emit, progress

PARTIAL = 3


class Priority(StrEnum):
    """Priorities within a channel."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class ClockName(StrEnum):
    """Which clock the plan is delivered on."""

    WALL = "wall"
    SIMULATED = "simulated"


def deliver(
    ds: DsOption,
    send_hour: Annotated[
        list[str] | None,
        typer.Option(
            "--send-hour", metavar="2026-11-15T04", help="UTC hour; repeatable. Default: what is due."
        ),
    ] = None,
    all_hours: Annotated[
        bool,
        typer.Option("--all-hours", help="Send the plan's 24 hours in one process; needs --clock simulated."),
    ] = False,
    clock: Annotated[
        ClockName, typer.Option("--clock", help="simulated = a rehearsal against a sandbox, without waiting.")
    ] = ClockName.WALL,
    channel: Annotated[str | None, typer.Option("--channel", help="Only this channel.")] = None,
    part: Annotated[int | None, typer.Option("--part", min=0, help="Only this part number.")] = None,
    priority: Annotated[Priority | None, typer.Option("--priority", help="Only this priority.")] = None,
    endpoint_url: Annotated[
        str | None,
        typer.Option("--endpoint-url", metavar="URL", help="Provider base address instead of its own."),
    ] = None,
    takeover: Annotated[
        bool,
        typer.Option("--takeover", help="Take parts from a dead worker at once, not after 300 s."),
    ] = False,
    wait_for_lease: Annotated[
        bool,
        typer.Option(
            "--wait-for-lease",
            help="Wait for parts of a worker that may be dead, until 300 s after it was last heard of.",
        ),
    ] = False,
    slots: Annotated[
        int, typer.Option("--slots", min=1, help="Workers that share the provider's quota.")
    ] = 1,
    batch_rows: Annotated[
        int, typer.Option("--batch-rows", min=1, max=100_000, help="Rows in one batch (one intent).")
    ] = 2_000,
    batch_deadline_s: Annotated[
        float,
        typer.Option(
            "--batch-deadline", min=0.1, max=3600, help="Seconds until a batch defers what is left."
        ),
    ] = 60.0,
    request_timeout_s: Annotated[
        float, typer.Option("--request-timeout", min=0.1, max=300, help="Seconds to wait for one answer.")
    ] = 10.0,
    metrics_file: Annotated[
        Path | None, typer.Option("--metrics-file", help="Prometheus text, rewritten every two seconds.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Send a plan's committed manifests; a second run sends nothing."""
    from angelia.delivery.manifest import parts
    from angelia.delivery.manifest.rows import spare_memory
    from angelia.delivery.worker.options import Options, RunResult
    from angelia.delivery.worker.run import Delivery

    spare_memory()
    # By the wall clock one process would sit for a day, and a restart of the machine would end its hours.
    if all_hours and clock is not ClockName.SIMULATED:
        raise InvalidInput(
            "--all-hours needs --clock simulated",
            fix="real time is delivered hour by hour: --send-hour, or nothing for what is due",
        )
    if all_hours and send_hour:
        raise InvalidInput("--all-hours and --send-hour exclude each other")
    lake = open_lake()
    parts.require_main(lake)
    hours = tuple(parts.parse_hour(hour) for hour in send_hour) if send_hour else None
    # A rehearsal has no hour that is due: it sends whatever the plan has.
    if clock is ClockName.SIMULATED and hours is None:
        hours = tuple(parts.send_hours(lake, ds))
    options = Options(
        ds=ds, hours=hours, channel=channel, part=part, priority=priority.value if priority else None,
        simulated=clock is ClockName.SIMULATED,
        takeover=takeover, wait_for_lease=wait_for_lease, endpoint_url=endpoint_url,
        slots=slots, batch_rows=batch_rows, batch_deadline_s=batch_deadline_s,
        request_timeout_s=request_timeout_s, metrics_file=metrics_file,
        metrics_folder=load_settings().metrics_folder(), pace_folder=load_settings().pace_folder(),
    )  # fmt: skip
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")

    async def main() -> RunResult:
        return await Delivery(lake, options).run()

    result = asyncio.run(main())
    lines = [
        "delivered: " + (", ".join(f"{name} {n:,}" for name, n in result.added().items()) or "nothing"),
        f"already delivered: {result.already_delivered}",
        f"parts finished: {result.parts}, held by others: {result.busy}, unfinished: "
        f"{result.unfinished}; {result.seconds:.1f} s",
    ]
    if result.waiting:
        lines.append(
            f"parts that wait for their campaign's speed limit and continue in the next run: {result.waiting}"
        )
    emit(result.to_json(), lines, as_json)
    for name, why in result.halted.items():
        progress(f"channel {name} halted: {why}")
    for error in result.damaged:
        progress(f"not sent: {error.one_line()}")
    if result.drained:
        progress("stopped as asked; the rest is sent by the next run")
    # The exit code says that a next run is needed, though nothing failed: Airflow then tries again.
    if result.halted or result.drained or result.unfinished:
        raise typer.Exit(PARTIAL)


def sandbox(
    state_dir: Annotated[
        Path,
        typer.Option("--state-dir", help="Folder for CA, service account and counts; default: HOME/sandbox."),
    ] = Path(),
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="TLS port (HTTP/2 and HTTP/1.1); 0 = any.")
    ] = 8443,
    http_port: Annotated[
        int, typer.Option("--http-port", min=0, max=65535, help="Cleartext port and live page; 0 = any.")
    ] = 8085,
    raw_port: Annotated[
        int,
        typer.Option(
            "--raw-port",
            min=0,
            max=65535,
            help="Port of the front end whose connections break as scripted; 0 = any.",
        ),
    ] = 0,
    rules: Annotated[Path | None, typer.Option("--rules", help="YAML of scripted faults.")] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(
            "--ready-file", help="Written when listening: JSON with ports, pid, ca_file, credentials."
        ),
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option("--max-seconds", min=0.1, help="Stop after this many seconds.")
    ] = None,
    token_seconds: Annotated[
        int, typer.Option("--token-seconds", min=1, help="Life of a bearer token.")
    ] = 3600,
    as_json: JsonFlag = False,
) -> None:
    """Run local provider endpoints: real wire shapes, signatures, counts, scripted faults."""
    from angelia.sandbox.phones import Phones
    from angelia.sandbox.server import serve

    folder = state_dir if state_dir != Path() else load_settings().home / "sandbox"

    def announce(names: dict[str, object]) -> None:
        lines = [
            f"sandbox: {names['url']}  raw: {names['raw_url']}  live page: {names['http_url']}/",
            f"  ANGELIA_CA_FILE={names['ca_file']}",
        ]
        for channel, url in (("FCM", "url"), ("APNS", "url"), ("EMAIL", "smtp_url")):
            credentials = names["credentials" if channel == "FCM" else f"{channel.lower()}_credentials"]
            lines.append(f"  ANGELIA_{channel}_URL={names[url]} ANGELIA_{channel}_CREDENTIALS={credentials}")
        lines.append(
            f"  ANGELIA_WEBHOOK_CREDENTIALS={names['webhook_credentials']}  (addresses: "
            f"{names['url']}/hook/NAME)"
        )
        progress("\n".join(lines))

    async def main() -> Phones:
        return await serve(
            folder, host=host, port=port, http_port=http_port, raw_port=raw_port, rules=rules,
            ready=ready_file, max_seconds=max_seconds,
            token_seconds=token_seconds, announce=announce,
        )  # fmt: skip

    phones = asyncio.run(main())
    stats = phones.stats()
    emit(
        stats,
        [
            (
                f"received {stats['received']:,} messages, {stats['unique']:,} unique, "
                f"{stats['doubled']:,} doubled"
            )
        ],
        as_json,
    )


ledger = typer.Typer(no_args_is_help=True, help="The outcome of every row; release and resend.")


@ledger.command("status")
def ledger_status(ds: DsOption, as_json: JsonFlag = False) -> None:
    """Count a plan's rows by outcome, its parts, and its open intents."""
    from angelia.delivery.ledger.status import status

    result = status(open_lake(), ds)
    lines = [f"{name:<12} {number:>12,}" for name, number in result["outcomes"].items()]
    lines.append(
        f"parts: {result['parts_done']} done of {result['parts']}; rows without outcome: "
        f"{result['rows_open']:,} of {result['rows']:,}"
    )
    lines.append(f"open intents: {result['open_intents']} ({result['rows_intended']:,} rows)")
    emit(result, lines, as_json)


@ledger.command("due")
def ledger_due(
    now: Annotated[
        str | None,
        typer.Option(
            "--now",
            metavar="TIME",
            help="Instant at which parts are due, as 2026-11-15T04:30:00Z; default: now.",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the unfinished parts whose window has opened, of every recent plan.

    One that closed unsent is listed, too: its delivery makes no request and writes `expired` for its rows.
    The list seals and claims nothing.
    """
    from angelia.delivery.clock import lease_now
    from angelia.delivery.manifest.parts import due_parts

    due = due_parts(open_lake(), parse_instant(now) if now else lease_now())
    rows = [
        {
            "ds": p.ds,
            "send_hour": p.send_hour,
            "channel": p.channel,
            "priority": p.priority,
            "part": p.number,
            "kind": p.kind,
            "rows": p.n_rows,
        }
        for p in due
    ]
    emit(
        {"parts": rows},
        ["  ".join(str(value) for value in row.values()) for row in rows] or ["nothing is due"],
        as_json,
    )


def parse_instant(text: str) -> int:
    """Return an instant in microseconds since 1970.

    Raises:
        InvalidInput: it is no ISO time, names no zone, or is out of range.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = datetime.min
    if instant.tzinfo is None:
        raise InvalidInput(f"--now {text!r} is not an instant", fix="write it as 2026-11-15T04:30:00Z")
    require_day("--now", text, instant.date())
    return int(instant.timestamp() * 1_000_000)


@ledger.command("release")
def ledger_release(
    ds: DsOption,
    send_hour: Annotated[str | None, typer.Option("--send-hour", help="Only this hour.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; people may get a message twice.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Allow ambiguous rows to be sent again; some people may get a message twice.

    An ambiguous row may have arrived, so this is the operator's choice.
    """
    from angelia.delivery.ledger.status import release
    from angelia.delivery.manifest.parts import parse_hour

    result = release(open_lake(), ds, parse_hour(send_hour) if send_hour else None, dry_run=not yes)
    done = "released" if yes else "would be released (add --yes)"
    emit(result, [f"{result['rows']:,} ambiguous rows in {result['parts']} parts {done}"], as_json)


@ledger.command("resend")
def ledger_resend(
    campaigns: Annotated[
        str, typer.Option("--campaigns", metavar="IDS", help="Campaign ids, separated by commas.")
    ],
    first: Annotated[str, typer.Option("--from", metavar="YYYY-MM-DD", help="First plan (ds).")],
    last: Annotated[str, typer.Option("--to", metavar="YYYY-MM-DD", help="Last plan (ds), included.")],
    now: Annotated[
        str | None, typer.Option("--now", metavar="TIME", help="Instant to judge windows by; default: now.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Queue them; needs --expect. Without it they are only counted.")
    ] = False,
    expect: Annotated[
        str, typer.Option("--expect", metavar="HASH", help="With --yes: the hash that the count printed.")
    ] = "",
    answer: Annotated[
        str | None,
        typer.Option("--answer", metavar="OPTION", help="With --yes: the answer given in Airflow."),
    ] = None,
    answered_by: Annotated[
        str,
        typer.Option(
            "--answered-by", metavar="NAME", help="Who answered; without a name there is no approval."
        ),
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """Queue a campaign's unsent messages again, where they may still be sent.

    These are messages that a plan decided, that the ledger has no outcome for, whose window is still open and
    whose people still consent. Rows that were accepted, rejected or ambiguous stay as they are, and so do
    rows that a delivery is still working on.

    Count first: without --yes nothing is queued, and the count prints a hash. With --yes --expect HASH
    exactly those messages are queued, less those whose person opted out or whose window closed since. The
    next `angelia deliver` (or hourly_dispatch) sends them. A second run queues nothing twice.
    """
    from angelia.delivery.clock import lease_now
    from angelia.delivery.ledger.resend import lines, resend

    names = sorted({name.strip() for name in campaigns.split(",") if name.strip()})
    if not names:
        raise InvalidInput("--campaigns is empty", fix="write ids as price_drop,win_back")
    # An answer came from Airflow: it must be the approval of this very count, by a named person.
    if yes and answer is not None:
        counted = expect or "no count"
        require_approval(
            OperatorAnswer(answer, answered_by, expect),
            counted,
            "nothing was put up again",
            fix="trigger campaign_backfill again, or count by hand without --yes",
        )
    if yes and not expect:
        raise InvalidInput("--yes needs --expect HASH", fix="run it without --yes first: it prints the hash")
    # Whoever types the hash means to do it, and would take the count for the deed.
    if expect and not yes:
        raise InvalidInput("--expect goes with --yes", fix="add --yes to put up what was counted")
    at = parse_instant(now) if now else lease_now()
    days = days_between(first, last)
    result = resend(open_lake(), days, names, at, lease_now(), expect=expect if yes else None)
    emit(result, lines(result), as_json)
