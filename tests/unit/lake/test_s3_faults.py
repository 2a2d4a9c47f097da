"""A bucket under faults: races, killed writers, storms, slowness, borrowed keys.

The proxy and the writers are real; `make test-s3` runs these on each of its servers.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from angelia.contracts.rows import valid_rows
from angelia.lake import Lake
from angelia.lake.opening import open_store
from angelia.lake.verify import verify
from tests import s3_server

DS = "2026-11-14"
RACE = """
import sys
from angelia.lake.opening import open_store
url, endpoint, me, keys = sys.argv[1], sys.argv[2], sys.argv[3].encode(), int(sys.argv[4])
store = open_store(url, endpoint)
store.exists("ready")
print("ready", flush=True)
sys.stdin.readline()
print(*[key for key in range(keys) if store.create(f"claims/{key}", me)], flush=True)
"""
PUBLISH = """
import sys
from angelia.contracts.rows import valid_rows
from angelia.lake import Lake
lake = Lake.open(sys.argv[1], endpoint=sys.argv[2])
with lake.attempt("user_preferences", ds="2026-11-14") as attempt:
    for part in range(3):
        attempt.write(valid_rows("user_preferences", int(sys.argv[3])), f"part-{part:04d}.parquet")
    attempt.publish()
"""


@pytest.mark.s3server
@pytest.mark.slow
def test_eight_processes_race_for_keys_and_each_has_one_winner(s3_url: str, s3_endpoint: str) -> None:
    n_keys = 25
    words = [sys.executable, "-c", RACE, s3_url, s3_endpoint]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    racers = [subprocess.Popen([*words, str(n), str(n_keys)], **pipes) for n in range(8)]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = Counter(key for racer in racers for key in racer.communicate(timeout=120)[0].split())
    assert won == {str(key): 1 for key in range(n_keys)}


@pytest.mark.s3server
@pytest.mark.slow
@pytest.mark.parametrize(
    ("failpoint", "is_visible"),
    [("write.file:2", False), ("publish.before_create", False), ("create.after_link", True)],
)
def test_a_killed_writer_leaves_all_or_nothing(
    s3_url: str, s3_endpoint: str, failpoint: str, is_visible: bool
) -> None:
    lake = Lake.open(s3_url, endpoint=s3_endpoint)
    words = [sys.executable, "-c", PUBLISH, s3_url, s3_endpoint]
    subprocess.run([*words, "10"], check=True, timeout=60)
    env = {**os.environ, "ANGELIA_FAILPOINT": failpoint}
    assert subprocess.run([*words, "20"], env=env, timeout=60).returncode == -signal.SIGKILL
    head = lake.require("user_preferences", ds=DS)
    assert (head.number, head.rows) == ((2, 60) if is_visible else (1, 30))
    assert verify(lake).problems == []
    subprocess.run([*words, "40"], check=True, timeout=60)
    assert lake.require("user_preferences", ds=DS).rows == 120
    lake.store.client.close()  # type: ignore[attr-defined]


@contextmanager
def proxy(endpoint: str, seed: int) -> Iterator[tuple[str, Counter[str]]]:
    """Yield an address that refuses three of ten requests, delays two and never answers one."""
    target, dice, met = urlsplit(endpoint), random.Random(seed), Counter[str]()
    turn, decided = threading.Lock(), set[str]()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with turn:
                fault = dice.choice([*["refused"] * 3, *["slow"] * 2, "lost", *["none"] * 4])
                # What decides a commit loses its first answer each time: the writer must find out.
                if self.headers.get("If-None-Match") and self.path not in decided:
                    fault, _ = "lost", decided.add(self.path)
                met[fault] += 1
            if fault == "refused":
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            time.sleep(0.3 if fault == "slow" else 0)
            passed_on = http.client.HTTPConnection(target.hostname or "", target.port, timeout=30)
            # The host is part of what the client signed.
            headers = {name: value for name, value in self.headers.items() if name != "Connection"}
            passed_on.request(self.command, self.path, body, headers)
            reply = passed_on.getresponse()
            content = reply.read()
            passed_on.close()
            if fault == "lost":
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in reply.getheaders():
                if name.lower() not in (
                    "transfer-encoding",
                    "content-length",
                    "connection",
                    "date",
                    "server",
                ):
                    self.send_header(name, value)
            # What a HEAD says of its length has no body behind it.
            length = reply.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", met
        server.shutdown()


@pytest.mark.s3server
@pytest.mark.slow
def test_a_storm_and_slow_answers_cost_time_and_nothing_else(s3_url: str, s3_endpoint: str) -> None:
    with proxy(s3_endpoint, seed=14) as (stormy, met):
        lake = Lake.open(s3_url, endpoint=stormy)
        for n in range(1, 7):
            with lake.attempt("user_preferences", ds=DS) as attempt:
                attempt.write(valid_rows("user_preferences", 10 * n), "part-0000.parquet")
                attempt.publish()
        assert lake.read(lake.require("user_preferences", ds=DS)).num_rows == 60
        lake.store.client.close()  # type: ignore[attr-defined]
    calm = Lake.open(s3_url, endpoint=s3_endpoint)
    # A lost answer is settled by reading back, a refusal by another try: no commit was made twice.
    assert [commit.rows for commit in calm.history("user_preferences", ds=DS)] == [10, 20, 30, 40, 50, 60]
    assert verify(calm).problems == []
    assert met["refused"] > 5
    assert met["lost"] >= 6
    calm.store.client.close()  # type: ignore[attr-defined]


def test_keys_of_a_profile_open_the_bucket(
    s3_url: str, s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "credentials"
    file.write_text(f"[team]\naws_access_key_id = {s3_server.KEY}\naws_secret_access_key = {s3_server.KEY}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "team")
    store = open_store(s3_url, s3_endpoint)
    assert store.create("a/x", b"1")
    assert store.client._request_signer._credentials.method == "shared-credentials-file"  # type: ignore[attr-defined]
    store.client.close()  # type: ignore[attr-defined]


def test_a_role_lends_keys_and_renews_them(
    s3_url: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container's role: keys come from an address, and are asked for again before they end."""
    asked: list[str] = []

    class Lender(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            # The first keys have ended when they come; the second last.
            ends = datetime.now(UTC) + timedelta(seconds=1 if len(asked) == 1 else 7200)
            keys = {"AccessKeyId": s3_server.KEY, "SecretAccessKey": s3_server.KEY, "Token": None}
            body = json.dumps({**keys, "Expiration": ends.isoformat()}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with ThreadingHTTPServer(("127.0.0.1", 0), Lender) as lender:
        threading.Thread(target=lender.serve_forever, daemon=True).start()
        monkeypatch.setenv(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{lender.server_port}/role"
        )
        store = open_store(s3_url, s3_endpoint)
        assert store.create("a/x", b"1")
        assert store.read("a/x") == b"1"
        lender.shutdown()
    assert asked == ["/role", "/role"]
    store.client.close()  # type: ignore[attr-defined]
