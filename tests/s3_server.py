"""S3 servers for tests, on loopback: moto in this process, the others by process id."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

PROJECT = Path(__file__).resolve().parents[1]
WEED = PROJECT / ".venv-servers" / "bin" / "weed"
# `make test-s3` builds it; without Go, or out of the proxy's reach, it is not there.
VERSITYGW = PROJECT / ".venv-servers" / "bin" / "versitygw"
KEY = "test"  # every server's key and secret
START_S = 60


@contextmanager
def moto() -> Iterator[str]:
    """Yield the endpoint of a moto server in this process, which answers one request at a time.

    Moto looks whether a key exists and then stores it, with nothing between that keeps another thread out: of
    two writers that ask for a key at once, it tells both that they made it. S3 never does.
    """
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    application, turn = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        with turn:
            return application(environ, start_response)

    server = make_server("127.0.0.1", 0, answer, threaded=True, request_handler=MotoRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(timeout=30)


@contextmanager
def seaweedfs(folder: Path, host: str = "127.0.0.1", metrics_port: int = 0) -> Iterator[str]:
    """Yield the endpoint of a SeaweedFS on `host`, whose data is in `folder`.

    Raises:
        RuntimeError: it did not answer in time; its log is in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    identity = {"name": "tests", "credentials": [{"accessKey": KEY, "secretKey": KEY}], "actions": ["Admin"]}
    config = folder / "identities.json"
    config.write_text(json.dumps({"identities": [identity]}))
    master, volume, filer, s3 = (_free_port() for _ in range(4))
    # Each bucket takes seven volumes, and each test a bucket.
    with_us = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()  # it ends with us
    words = [
        *with_us,
        *(str(WEED), "server", f"-dir={folder}", f"-ip={host}", f"-ip.bind={host}"),
        *(f"-master.port={master}", f"-volume.port={volume}", "-volume.max=5000", "-filer"),
        *(f"-filer.port={filer}", "-s3", f"-s3.port={s3}", f"-s3.config={config}"),
        # Both would listen on a port of their own choice, which a second server finds taken.
        *("-s3.port.iceberg=0", "-s3.port.lance=0", f"-metricsPort={metrics_port}"),
    ]
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    with _answering(process, f"http://{host}:{s3}", folder / "weed.log") as endpoint:
        yield endpoint


@contextmanager
def versitygw(folder: Path) -> Iterator[str]:
    """Yield the endpoint of a versitygw on loopback; objects are files below `folder`.

    Raises:
        RuntimeError: it did not answer in time; its log is in the folder.
    """
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    with_us = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
    words = [*with_us, str(VERSITYGW), "--access", KEY, "--secret", KEY, "--port", f"127.0.0.1:{port}"]
    with (folder / "versitygw.log").open("wb") as log:
        process = subprocess.Popen(
            [*words, "posix", str(data)], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    with _answering(process, f"http://127.0.0.1:{port}", folder / "versitygw.log") as endpoint:
        yield endpoint


@contextmanager
def _answering(process: subprocess.Popen[bytes], endpoint: str, log: Path) -> Iterator[str]:
    """Yield the endpoint once it answers; the process ends with the block."""
    try:
        end = time.monotonic() + START_S
        while not _answers(endpoint):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{log.stem} did not start; see {log}")
            time.sleep(0.2)
        yield endpoint
    finally:
        # A clean stop takes SeaweedFS twenty seconds, and nobody reads its data again.
        process.kill()
        process.wait(timeout=30)


@contextmanager
def chosen(folder: Path) -> Iterator[str]:
    """Yield the endpoint of the server that the variable S3_SERVER names; moto by default."""
    kind = os.environ.get("S3_SERVER", "moto")
    servers = {"moto": moto, "seaweedfs": partial(seaweedfs, folder), "versitygw": partial(versitygw, folder)}
    if kind not in servers:
        raise ValueError(f"S3_SERVER is {', '.join(servers)}, not {kind!r}")
    with servers[kind]() as endpoint:
        yield endpoint


def _free_port() -> int:
    # SeaweedFS speaks gRPC on each port plus 10,000.
    while True:
        with socket.socket() as probe, socket.socket() as twin:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            if port > 55_000:
                continue
            try:
                twin.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            return port


def _answers(endpoint: str) -> bool:
    try:
        with urlopen(endpoint, timeout=2):
            return True
    except HTTPError:
        return True  # a refusal is an answer
    except (URLError, OSError):
        return False
