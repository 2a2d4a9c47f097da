"""The servers: `angelia receive` for callbacks, `angelia intake` for messages by REST.

`receive` reads requests, delivery_ledger, dispatch_manifest and user_endpoints, and writes the journal
`received/`, inbox_messages, preference_choices, push_receipts and suppressions. `intake serve` and `keys`
read and write the intake database; `dispatch` sends what is due there, and writes dispatch_intake,
delivery_ledger and push_receipts; `triggers` reads user_events and the newest night, and writes the intake
database; `export` reads that and external_ids, and writes intake_messages, intake_steps, intake_pending and
registered_addresses.
"""

from __future__ import annotations

import signal
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from angelia.commands.deliver import PARTIAL
from angelia.config import load_settings
from angelia.lake.configured import open_lake
from angelia.output import JsonFlag, emit, progress

LOG_GROUP = 10_000  # events of a provider's log that share an object of the journal

if TYPE_CHECKING:
    from angelia.intake.keys import Keys


def command(
    host: Annotated[
        str,
        typer.Option("--host", help="Address to listen on; a reverse proxy adds TLS and the public name."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 = any.")] = 8090,
    ready_file: Annotated[
        Path | None, typer.Option("--ready-file", help="Written when listening: JSON with port and pid.")
    ] = None,
    fold_seconds: Annotated[
        float,
        typer.Option(
            "--fold-seconds", min=0.1, help="At most this many seconds from an event to the datasets."
        ),
    ] = 5.0,
    max_seconds: Annotated[
        float | None, typer.Option("--max-seconds", min=0.1, help="Stop after this many seconds.")
    ] = None,
    access_log: Annotated[
        bool, typer.Option("--access-log/--no-access-log", help="Note requests in HOME/logs/receive.jsonl.")
    ] = True,
    provider_log: Annotated[
        list[Path] | None,
        typer.Option(
            "--provider-log",
            help="Instead of listening: take an export of FCM's delivery data, or SNS's delivery status.",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Take signed callbacks and one-click unsubscribes, and fold them into the datasets.

    Callbacks report opens, delivery reports, bounces and STOP. SIGTERM folds what has come in, then stops.
    """
    if provider_log:
        _take_logs(provider_log, as_json=as_json)
        return
    from angelia.delivery.manifest.parts import require_main
    from angelia.intake.serving import serve
    from angelia.receive.api import create_app
    from angelia.receive.finding.dispatches import index_folder
    from angelia.receive.folding import Folding
    from angelia.receive.journal import Journal
    from angelia.receive.keeping import fold_once, keep_folding
    from angelia.receive.protocol import DeadlineProtocol
    from angelia.receive.receive_metrics import CallbackTotals
    from angelia.receive.receiver import CallbackReceiver, utc_now
    from angelia.receive.trust import configured

    settings = load_settings()
    lake = open_lake(settings=settings)
    require_main(lake)
    receiver = CallbackReceiver(Journal(lake.store), configured(lake.store), utc_now, lake)
    folding = Folding(lake, index_folder(lake, settings.home))
    log = settings.home / "logs" / "receive.jsonl" if access_log else None
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
    over, totals, watched = threading.Event(), Counter[str](), CallbackTotals(settings.metrics_folder())

    def counted() -> Counter[str]:
        return receiver.counts + Counter(late=DeadlineProtocol.n_late, crowded=DeadlineProtocol.n_crowded)

    # uvicorn ends by itself, then raises the signal again: it must not end what follows.
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    folder = threading.Thread(
        target=keep_folding,
        args=(lambda: folding.fold(utc_now()), receiver.has_event, over, totals, fold_seconds),
        kwargs={"watch": lambda: watched.add(counted(), totals)},
        daemon=True,
    )
    folder.start()
    try:
        serve(
            create_app(receiver, log),
            host,
            port,
            ready_file,
            doing="receiving",
            protocol=DeadlineProtocol,
            max_seconds=max_seconds,
        )
    finally:
        over.set()
        folder.join()
        for number, handler in before.items():
            signal.signal(number, handler)
    last = fold_once(lambda: folding.fold(utc_now()))
    totals += last
    counts = counted()
    watched.add(counts, totals, is_last=True)
    result = {
        **{name: totals[name] for name in ("receipts", "suppressions", "devices", "foreign")},
        **{name: last[name] for name in ("waiting", "unknown", "damaged")},
    }
    result |= {
        name: counts[name]
        for name in (
            "events",
            "requests",
            "repeated",
            "refused",
            "ignored",
            "401",
            "400",
            "408",
            "413",
            "503",
        )
    }
    result |= {name: counts[name] for name in ("broken", "late", "crowded", "inbox", "preferences")}
    emit(result, [", ".join(f"{name} {number}" for name, number in result.items())], as_json)
    if last["damaged"]:
        raise typer.Exit(PARTIAL)


def _take_logs(paths: list[Path], *, as_json: bool) -> None:
    """Take what providers wrote down of deliveries, fold it, and say what became of it."""
    from angelia.delivery.manifest.parts import require_main
    from angelia.receive.callbacks.provider_logs import events_of, read_log
    from angelia.receive.finding.dispatches import index_folder
    from angelia.receive.folding import Folding, recent_days
    from angelia.receive.journal import Journal
    from angelia.receive.receiver import utc_now

    settings = load_settings()
    lake, now = open_lake(settings=settings), utc_now()
    require_main(lake)
    reports = (report for path in paths for report in read_log(path))
    events, left_out = events_of(lake, reports, recent_days(now), now)
    journal = Journal(lake.store)
    for first in range(0, len(events), LOG_GROUP):
        journal.keep(events[first : first + LOG_GROUP], now)
    counts = Folding(lake, index_folder(lake, settings.home)).fold(now)
    result = {"events": len(events), "receipts": counts["receipts"]}
    result |= {name: left_out[name] for name in ("not_ours", "not_unique", "too_old", "not_documented")}
    emit(result, [", ".join(f"{name} {number}" for name, number in result.items())], as_json)


intake = typer.Typer(no_args_is_help=True, help="Take messages by REST, keep and send them; make API keys.")
intake_keys = typer.Typer(no_args_is_help=True)
intake.add_typer(intake_keys, name="keys", help="API keys: make, list, revoke.")


@intake.command("serve")
def intake_serve(
    host: Annotated[
        str,
        typer.Option("--host", help="Address to listen on; a reverse proxy adds TLS and the public name."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 = any.")] = 8091,
    ready_file: Annotated[
        Path | None, typer.Option("--ready-file", help="Written when listening: JSON with port and pid.")
    ] = None,
    access_log: Annotated[
        bool, typer.Option("--access-log/--no-access-log", help="Note requests in HOME/logs/intake.jsonl.")
    ] = True,
) -> None:
    """Take messages by REST and keep them; docs/INTAKE.md describes the interface.

    SIGTERM answers what has come in, then stops.
    """
    from angelia.intake.api import create_app
    from angelia.intake.codes import Codes, Secret
    from angelia.intake.database import connect, follow
    from angelia.intake.serving import serve, tune_interpreter
    from angelia.intake.wire.short_way import short_protocol
    from angelia.receive.preferences.addresses import AddressQuestions
    from angelia.receive.receiver import utc_now
    from angelia.receive.trust import preferences_trust, receive_document

    settings = load_settings()
    log = settings.home / "logs" / "intake.jsonl" if access_log else None
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
    engine = connect(settings.intake_url())
    codes = Codes(engine, Secret.of(settings.home))
    lake, page = open_lake(settings=settings), preferences_trust(receive_document())
    questions = AddressQuestions(lake, page.secret, page.url, utc_now) if page else None
    follower = follow(settings.intake_follower) if settings.intake_follower else None
    app = create_app(engine, log, codes, settings.metrics_folder(), lake, questions, follower)
    tune_interpreter()
    serve(app, host, port, ready_file, protocol=short_protocol(app))


@intake.command("dispatch")
def intake_dispatch(
    once: Annotated[bool, typer.Option("--once", help="Dispatch what is due now, then end.")] = False,
    batch_rows: Annotated[
        int, typer.Option("--batch-rows", min=1, max=20_000, help="Messages in one batch at most.")
    ] = 5_000,
    lanes: Annotated[
        int, typer.Option("--lanes", min=1, max=32, help="Batches side by side, beside one of high messages.")
    ] = 2,
    slots: Annotated[
        int, typer.Option("--slots", min=1, help="Workers and dispatchers that share the provider's quota.")
    ] = 1,
    endpoint_url: Annotated[
        str | None,
        typer.Option("--endpoint-url", metavar="URL", help="Provider base address instead of its own."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Send the intake's due messages through the delivery worker.

    It runs until SIGTERM or Ctrl-C. Several may run at once; if one is killed, the next sends what it held.
    """
    import asyncio
    import logging

    from angelia.delivery.ledger.ledger import Owner
    from angelia.delivery.worker.signals import drains_on_signal
    from angelia.intake.codes import Codes, Secret
    from angelia.intake.database import connect
    from angelia.intake.dispatching.batches import Batches
    from angelia.intake.dispatching.dispatcher import Dispatcher
    from angelia.intake.dispatching.terms import LEASE_S, DispatchTerms, Report
    from angelia.intake.serving import tune_interpreter

    settings = load_settings()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    terms = DispatchTerms(
        once=once, batch_rows=batch_rows, lanes=lanes, slots=slots, pace_folder=settings.pace_folder(),
        lead_hours=settings.lead_hours, endpoint_url=endpoint_url, metrics_folder=settings.metrics_folder(),
    )  # fmt: skip
    engine = connect(settings.intake_url())
    batches = Batches(engine, Owner.this_process(), int(LEASE_S * 1e6))

    async def main() -> Report:
        dispatcher = Dispatcher(open_lake(), batches, terms, Codes(engine, Secret.of(settings.home)))
        with drains_on_signal(dispatcher.draining):
            return await dispatcher.run()

    tune_interpreter()
    report = asyncio.run(main())
    counts = [f"{step:<40} {number:>10,}" for step, number in sorted(report.steps.items())]
    ended = f"batches: {report.batches:,}, to go on with: {report.unfinished:,}; {report.seconds:.1f} s"
    emit(report.to_json(), [*(counts or ["nothing was due"]), ended], as_json)
    for name, why in report.halted.items():
        progress(f"channel {name} halted: {why}")
    if report.halted or report.problems:
        raise typer.Exit(PARTIAL)


@intake.command("triggers")
def intake_triggers(as_json: JsonFlag = False) -> None:
    """Make messages from what people did since the last run, for campaigns with a `trigger`.

    It ends once it has handed over everything that is due; `dispatch` sends it. Two runs at once do no harm.
    """
    from angelia.intake.database import connect
    from angelia.intake.triggers.run import TriggerRun

    report = TriggerRun(open_lake(), connect(load_settings().intake_url())).run()
    counts = {**report.outcomes, **{f"dropped: {why}": n for why, n in report.dropped.items()}}
    lines = [f"{what:<40} {number:>10,}" for what, number in sorted(counts.items())]
    ended = f"new events that set something off: {report.events:,}; {report.seconds:.1f} s"
    emit(report.to_json(), [*(lines or ["nothing was due"]), ended], as_json)
    if report.problems:
        raise typer.Exit(PARTIAL)


@intake.command("export")
def intake_export(as_json: JsonFlag = False) -> None:
    """Copy to the lake the messages, steps and addresses that changed since the last run.

    The next night reads them there for reports, caps and addresses. Variables and codes are not copied. The
    newest imported `external_ids` are copied the other way, into the intake's database.
    """
    from angelia.delivery.manifest.parts import require_main
    from angelia.intake.database import connect
    from angelia.intake.erasing import is_used
    from angelia.intake.exporting.export import Exported, export

    settings = load_settings()
    lake = open_lake(settings=settings)
    require_main(lake)
    # Where nobody ever used the intake, none is made for it.
    exported = export(lake, connect(settings.intake_url()), settings.lead_hours) if is_used() else Exported()
    lines = [
        f"hours {exported.hours:,}, messages {exported.messages:,}, steps {exported.steps:,}; "
        f"{exported.pending:,} use room tonight; addresses {exported.addresses:,}, "
        f"external ids {exported.external_ids:,}; {len(exported.commits):,} commits"
    ]
    emit(exported.to_json(), lines, as_json)


@intake.command("expire")
def intake_expire(
    older_than: Annotated[
        int,
        typer.Option("--older-than", min=100, metavar="DAYS", help="Days for which messages are kept."),
    ] = 400,
    as_json: JsonFlag = False,
) -> None:
    """Delete messages that ended long ago.

    Their steps, idempotency keys and codes are deleted with them. Messages are kept for at least 100 days,
    since caps look back up to 90 days. A message that is still due stays, whatever its age.
    """
    from angelia.intake.database import connect
    from angelia.intake.erasing import expire
    from angelia.intake.message import now

    gone = expire(connect(load_settings().intake_url()), now() - older_than * 86_400_000_000)
    lines = [f"{table:<20} {number:>12,}" for table, number in sorted(gone.items())]
    emit({"deleted": dict(sorted(gone.items()))}, lines or ["nothing is that old"], as_json)


@intake_keys.command("make")
def intake_keys_make(
    client: Annotated[
        str, typer.Option("--client", help="Client that uses the key: lower-case letters, digits, - and _.")
    ],
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help="write, read, cancel, codes or people; repeatable; default: all."),
    ] = None,
    per_second: Annotated[
        int, typer.Option("--per-second", min=1, max=1_000_000, help="Messages a second at most.")
    ] = 1_000,
    as_json: JsonFlag = False,
) -> None:
    """Make a key and show it, this one time."""
    from angelia.intake.keys import SCOPES
    from angelia.intake.message import now

    key, text = _keys().make(client, scope or SCOPES, per_second, now())
    document = {"key": text, "key_id": key.key_id, "client": client, "scopes": list(key.scopes)}
    emit(document, [text], as_json)


@intake_keys.command("list")
def intake_keys_list(as_json: JsonFlag = False) -> None:
    """List the keys: id, client, scopes, rate, in use or revoked."""
    every = _keys().every()
    rows = [
        {
            "key_id": key.key_id,
            "client": key.client,
            "scopes": list(key.scopes),
            "per_second": key.per_second,
            "state": key.state,
        }
        for key in every
    ]
    lines = [
        f"{key.key_id}  {key.client}  {' '.join(key.scopes)}  {key.per_second}/s  {key.state}"
        for key in every
    ]
    emit({"keys": rows}, lines or ["no keys"], as_json)


@intake_keys.command("revoke")
def intake_keys_revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `list` shows it.")],
    as_json: JsonFlag = False,
) -> None:
    """Revoke a key; running servers refuse it within five seconds."""
    from angelia.intake.message import now

    _keys().revoke(key_id, now())
    emit({"revoked": key_id}, [f"{key_id} revoked"], as_json)


def _keys() -> Keys:
    from angelia.intake.database import connect
    from angelia.intake.keys import Keys

    return Keys(connect(load_settings().intake_url()))
