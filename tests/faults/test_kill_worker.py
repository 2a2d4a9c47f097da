"""kill -9 a real worker at seeded failpoints, against a real sandbox that counts what phones received.

The promise: unaccounted 0; at most once: doubled 0, ambiguous at most the rows of the open intents; at least once: unsent 0, doubled at most those.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from angelia.delivery import sample_plan
from angelia.delivery.run import Delivery, Options, Result
from angelia.lake import Lake

pytestmark = pytest.mark.integration
DS, HOUR, ROWS, BATCH, OPEN_BATCHES = "2026-11-14", "2026-11-15T04", 600, 60, 4
_users = iter(range(0, 10**9, 10_000))  # every scenario has people of its own: the sandbox counts all of them together
ANGELIA = [sys.executable, "-c", "from angelia.cli import main; main()"]


class Sandbox:
    """A running sandbox and what its phones received."""

    def __init__(self, folder: Path, names: dict[str, Any]) -> None:
        self.folder, self.names = folder, names

    def received(self) -> dict[str, int]:
        with urllib.request.urlopen(f"{self.names['http_url']}/received", timeout=10) as answer:
            return dict(json.load(answer))


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    folder = tmp_path_factory.mktemp("sandbox")
    ready = folder / "ready.json"
    command = [*ANGELIA, "sandbox", "--port", "0", "--http-port", "0", "--state-dir", str(folder), "--ready-file", str(ready), "--max-seconds", "300"]
    process = subprocess.Popen(command, env={**os.environ, "ANGELIA_HOME": str(folder)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Sandbox(folder, json.loads(ready.read_text()))
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert (folder / "received.json").exists()


class Site:
    """A lake with one plan, and real workers on it."""

    def __init__(self, home: Path, sandbox: Sandbox, guarantee: str) -> None:
        self.home, self.sandbox = home, sandbox
        self.lake = Lake.open(str(home / "lake"))
        first = next(_users)
        changes = {
            "guarantee": guarantee,
            "user_id": lambda number: f"u{first + number}",
            "message_id": lambda number: sample_plan.ids.message_id("price_drop", f"u{first + number}", "once"),
        }
        sample_plan.make(self.lake, DS, ROWS, changes=changes)
        manifest = self.lake.read(self.lake.require("dispatch_manifest", ds=DS), ["dispatch_id"])
        self.dispatches = set(manifest["dispatch_id"].to_pylist())
        assert len(self.dispatches) == ROWS

    def start(self, *options: str, failpoint: str = "") -> subprocess.Popen[str]:
        names = self.sandbox.names
        env = {
            **os.environ, "ANGELIA_HOME": str(self.home), "ANGELIA_FCM_URL": names["url"], "ANGELIA_CA_FILE": names["ca_file"],
            "ANGELIA_FCM_CREDENTIALS": names["credentials"], "ANGELIA_FAILPOINT": failpoint,
        }  # fmt: skip
        command = [*ANGELIA, "deliver", "--ds", DS, "--send-hour", HOUR, "--clock", "simulated", "--batch-rows", str(BATCH), "--json", *options]
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def deliver(self, *options: str, failpoint: str = "") -> tuple[int, dict[str, Any], str]:
        process = self.start(*options, failpoint=failpoint)
        out, errors = process.communicate(timeout=60)
        return process.returncode, json.loads(out) if out else {}, errors

    def resume(self, **options: Any) -> Result:
        """Deliver in this process: a real worker too, without two seconds of imports."""
        given = Options(DS, (HOUR,), simulated=True, batch_rows=BATCH, **options)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ANGELIA_FCM_URL", self.sandbox.names["url"])
            patch.setenv("ANGELIA_CA_FILE", self.sandbox.names["ca_file"])
            patch.setenv("ANGELIA_FCM_CREDENTIALS", self.sandbox.names["credentials"])
            return asyncio.run(Delivery(self.lake, given).run())

    def ledger(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for leaf in self.lake.partitions("delivery_ledger", ds=DS):
            table = self.lake.read(self.lake.require("delivery_ledger", **leaf), ["dispatch_id", "outcome"])
            found.update(zip(table["dispatch_id"].to_pylist(), table["outcome"].to_pylist(), strict=True))
        return found


POINTS = ["before_intent:3", "after_intent:4", "after_send:137", "before_ack:251", "before_outcome:2", "after_outcome:3", "before_done:1"]


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_worker_loses_nothing_and_doubles_nothing(point: str, sandbox: Sandbox, tmp_path: Path) -> None:
    site = Site(tmp_path / "a home", sandbox, "at_most_once")
    code, _, errors = site.deliver(failpoint=point)
    assert code == -signal.SIGKILL, errors
    result = site.resume()
    assert result.unfinished == result.busy == 0
    received, ledger = sandbox.received(), site.ledger()
    assert set(ledger) == site.dispatches  # unaccounted 0
    assert max(received.get(dispatch, 0) for dispatch in site.dispatches) == 1  # doubled 0
    by_outcome = {word: {d for d, o in ledger.items() if o == word} for word in set(ledger.values())}
    assert set(by_outcome) <= {"accepted", "ambiguous"}
    assert all(received.get(dispatch) == 1 for dispatch in by_outcome["accepted"])
    assert len(by_outcome.get("ambiguous", ())) <= BATCH * OPEN_BATCHES
    never = [dispatch for dispatch in site.dispatches if dispatch not in received]
    assert all(ledger[dispatch] == "ambiguous" for dispatch in never)
    assert result.already_delivered + sum(result.delivered.values()) == ROWS


def test_transactional_messages_of_a_killed_worker_are_sent_again(sandbox: Sandbox, tmp_path: Path) -> None:
    site = Site(tmp_path / "a home", sandbox, "at_least_once")
    nth = random.Random(7).randrange(50, 500)
    assert site.deliver(failpoint=f"before_ack:{nth}")[0] == -signal.SIGKILL
    assert site.resume().unfinished == 0
    received, ledger = sandbox.received(), site.ledger()
    assert set(ledger.values()) == {"accepted"}
    assert all(received.get(dispatch, 0) >= 1 for dispatch in site.dispatches)  # unsent 0
    assert sum(received[dispatch] > 1 for dispatch in site.dispatches) <= BATCH * OPEN_BATCHES


def test_two_workers_on_one_manifest_send_disjoint_rows(sandbox: Sandbox, tmp_path: Path) -> None:
    site = Site(tmp_path / "a home", sandbox, "at_most_once")
    workers = [site.start(), site.start()]
    results = [json.loads(worker.communicate(timeout=60)[0]) for worker in workers]
    assert sorted(sum(result["delivered"].values()) for result in results) == [0, ROWS]
    assert sandbox.received().keys() >= site.dispatches
    assert all(sandbox.received()[dispatch] == 1 for dispatch in site.dispatches)


def test_a_stopped_worker_that_wakes_after_a_takeover_is_fenced(sandbox: Sandbox, tmp_path: Path) -> None:
    """SIGSTOP while it sends; another takes over; the zombie wakes: nothing is doubled, and its truth upgrades what was ambiguous."""
    site = Site(tmp_path / "a home", sandbox, "at_most_once")
    zombie = site.start("--batch-deadline", "1.0", "--request-timeout", "0.5")
    deadline = time.monotonic() + 30
    while not list(site.lake.store.list("intents")):
        assert time.monotonic() < deadline
        assert zombie.poll() is None
        time.sleep(0.002)
    zombie.send_signal(signal.SIGSTOP)
    try:
        assert site.resume(takeover=True, request_timeout_s=0.5).unfinished == 0
    finally:
        zombie.send_signal(signal.SIGCONT)
    out, _ = zombie.communicate(timeout=60)
    assert out
    received, ledger = sandbox.received(), site.ledger()
    assert set(ledger) == site.dispatches
    assert max(received.get(dispatch, 0) for dispatch in site.dispatches) == 1
    assert all(received.get(dispatch) == 1 for dispatch, outcome in ledger.items() if outcome == "accepted")
    assert sum(outcome == "ambiguous" for outcome in ledger.values()) <= BATCH * OPEN_BATCHES
