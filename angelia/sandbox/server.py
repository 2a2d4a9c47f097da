"""The sandbox process: every listener on one event loop, until it is stopped.

HTTP/2 over TLS and in clear (prior knowledge), HTTP/1.1 on both, SMTP, and the raw front end for what breaks.
Counts stay in memory and are dumped to the state folder at the end (SIGTERM, SIGINT, or `--max-seconds`).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import weakref
from collections.abc import Callable
from pathlib import Path

from angelia.errors import AngeliaError
from angelia.sandbox import keys, providers
from angelia.sandbox.apns import ApnsSandbox
from angelia.sandbox.fcm import FcmSandbox
from angelia.sandbox.front import Front
from angelia.sandbox.listening import Chooser
from angelia.sandbox.phones import Phones
from angelia.sandbox.raw import RawFront
from angelia.sandbox.rules import Rules
from angelia.sandbox.smtp import SmtpSandbox
from angelia.sandbox.webhook import WebhookSandbox


async def serve(
    state: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    http_port: int | None = 0,
    raw_port: int = 0,
    rules: Path | None = None,
    ready: Path | None = None,
    max_seconds: float | None = None,
    token_seconds: int = 3600,
    announce: Callable[[dict[str, object]], None] = lambda _: None,
) -> Phones:
    """Run until stopped; return what the phones received. `http_port` None = no cleartext."""
    state.mkdir(parents=True, exist_ok=True)
    loop = asyncio.get_running_loop()
    phones, script = Phones(), Rules.load(rules)
    tls = keys.make_tls(
        state,
        tuple(
            dict.fromkeys(
                ("127.0.0.1", "localhost", "sandbox", *((host,) if host not in ("0.0.0.0", "::") else ()))
            )
        ),
    )
    names: dict[str, object] = {"pid": os.getpid(), "ca_file": str((state / "ca.pem").absolute())}
    sandbox: Front

    connections: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()

    def choose() -> Chooser:
        return Chooser(sandbox, connections)

    try:
        secure = await loop.create_server(choose, host, port, ssl=tls, backlog=512)
        clear = (
            await loop.create_server(choose, host, http_port, backlog=512) if http_port is not None else None
        )
    except OSError as error:
        raise AngeliaError(
            f"the sandbox cannot listen on {host}: {error.strerror}",
            fix="choose another --port, or 0 for any",
        ) from None
    # A wildcard address can be listened on, but not connected to.
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    names["port"] = secure.sockets[0].getsockname()[1]
    names["url"] = f"https://{shown}:{names['port']}"
    if clear is not None:
        names["http_port"] = clear.sockets[0].getsockname()[1]
        names["http_url"] = f"http://{shown}:{names['http_port']}"
    # Credentials name the sandbox's own address, so they can only be made once the port is known.
    token_uri = f"{names['url']}/token"
    public = keys.make_service_account(state, token_uri)
    names["credentials"] = str((state / "service-account.json").absolute())
    names["apns_credentials"] = str((state / "apns.json").absolute())
    names["webhook_credentials"] = str((state / "webhook.json").absolute())
    sandbox = Front(
        FcmSandbox(public, token_uri, phones, script, token_seconds),
        ApnsSandbox(keys.make_apns_account(state), phones, script),
        WebhookSandbox(keys.make_webhook_account(state), phones, script),
        *providers.make_all(state, str(names["url"]), phones, script),
    )
    for name in providers.ACCOUNTS:
        names[f"{name}_credentials"] = str((state / f"{name}.json").absolute())
    mail = SmtpSandbox(*keys.make_mail_account(state, f"{names['url']}/unsubscribe"), phones, script)
    names["smtp_url"] = f"smtps://{shown}:{await mail.listen(host, tls)}"
    names["email_credentials"] = str((state / "email.json").absolute())
    raw = RawFront(sandbox, phones, script, tls)
    try:
        names["raw_port"] = raw.listen(host, raw_port)
    except OSError as error:
        raise AngeliaError(
            f"the sandbox cannot listen on {host}: {error.strerror}",
            fix="choose another --raw-port, or 0 for any",
        ) from None
    names["raw_url"] = f"https://{shown}:{names['raw_port']}"
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    if ready is not None:
        temporary = ready.with_name(f".{ready.name}.tmp")
        temporary.write_text(json.dumps(names), "utf-8")
        temporary.replace(ready)  # whole or absent, so a waiting reader never sees half
    announce(names)
    try:
        async with asyncio.timeout(max_seconds):
            await stopped.wait()
    except TimeoutError:
        pass
    finally:
        secure.close()
        mail.close()
        await raw.close()
        if clear is not None:
            clear.close()
        for connection in list(connections):
            connection.abort()
        phones.dump(state)
        await asyncio.sleep(0.01)  # lets the aborted connections leave the loop
    return phones
