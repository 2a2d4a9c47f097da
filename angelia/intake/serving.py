"""Run an ASGI application on a port, by uvicorn, until SIGTERM."""

from __future__ import annotations

import asyncio
import atexit
import gc
import json
import os
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from angelia.errors import InvalidInput
from angelia.output import progress

_BACKLOG = 2_048
_GRACE_S = 30


def serve(
    app: ASGIApp,
    host: str,
    port: int,
    ready_file: Path | None,
    *,
    doing: str = "taking messages",
    protocol: type[asyncio.Protocol] | None = None,
    max_seconds: float | None = None,
) -> None:
    """Answer requests until a signal or `max_seconds`; those under way are answered first.

    Surprise: uvicorn raises the signal again at the end, for whoever handled it before.

    Raises:
        InvalidInput: the port cannot be listened on.
    """
    config = uvicorn.Config(
        app,
        http=protocol or "auto",
        log_level="warning",
        access_log=False,  # uvicorn's has addresses in it
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_GRACE_S,
    )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise InvalidInput(
                f"cannot listen on port {port}: {error.strerror}", fix="give another --port or --host"
            ) from None
        listener.listen(_BACKLOG)
        progress(f"{doing} on port {listener.getsockname()[1]}")
        if ready_file is not None:
            ready_file.write_text(
                json.dumps({"port": listener.getsockname()[1], "pid": os.getpid()}), "utf-8"
            )
        server = uvicorn.Server(config)
        if max_seconds is not None:
            timer = threading.Timer(max_seconds, setattr, (server, "should_exit", True))
            timer.daemon = True
            timer.start()
        # Ctrl-C is how an operator ends a server: nothing of it is to be run again.
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
        progress("stopped: requests under way were answered")


def tune_interpreter() -> None:
    """Prepare the process for many short-lived objects and a thread that writes.

    Messages make thousands of objects that are in no circle; to look through them after every 700, which is
    the default, took a tenth of the processor time. The writer asks for the interpreter after each statement,
    and waited up to 5 ms while requests were parsed: with 0.5 ms it wrote twice as fast beside a busy loop.
    """
    gc.collect()
    gc.freeze()
    # What is frozen is not taken apart at the end, of which DuckDB complains: "nanobind: leaked".
    atexit.register(gc.unfreeze)
    gc.set_threshold(50_000, 20, 50)
    sys.setswitchinterval(0.0005)
