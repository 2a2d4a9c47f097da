"""A real sandbox that counts what phones received, and lakes with one plan each.

Workers are real processes.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from angelia.contracts.ids import list_id, listed_id
from angelia.delivery.manifest import sample_plan
from angelia.delivery.worker.options import Options, RunResult
from angelia.delivery.worker.run import Delivery
from angelia.lake import Lake

DS, HOUR, ROWS, BATCH = "2026-11-14", "2026-11-15T04", 600, 60
_users = iter(
    range(0, 10**9, 10_000)
)  # every scenario has people of its own: the sandbox counts all of them together
ANGELIA = [sys.executable, "-c", "from angelia.cli import main; main()"]


class Sandbox:
    """A running sandbox and what its phones received."""

    def __init__(self, folder: Path, names: dict[str, Any]) -> None:
        self.folder, self.names = folder, names

    def received(self) -> dict[str, int]:
        return self._get("received")

    def stats(self) -> dict[str, Any]:
        return self._get("stats")

    def _get(self, name: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.names['http_url']}/{name}", timeout=60) as answer:
            return dict(json.load(answer))


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Sandbox]:
    """Run a sandbox process."""
    folder.mkdir(exist_ok=True)
    ready = folder / "ready.json"
    command = [
        *ANGELIA,
        "sandbox",
        "--port",
        "0",
        "--http-port",
        "0",
        "--state-dir",
        str(folder),
        "--ready-file",
        str(ready),
        "--max-seconds",
        "7200",
    ]
    environment = {**os.environ, "ANGELIA_HOME": str(folder)}
    process = subprocess.Popen(
        [*command, *options], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Sandbox(folder, json.loads(ready.read_text()))
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert (folder / "received.json").exists()


# Addresses of one sandbox for all tests: those of other tests are answered at once.
RULES = """
rules:
  - {match: {token_prefix: slow-}, then: {delay_s: 0.4}}
  - {match: {token_prefix: stuck-}, then: {silent: true}}
  - {match: {token_prefix: gone-}, then: {status: 410}}
"""


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    folder = tmp_path_factory.mktemp("sandbox")
    (folder / "rules.yaml").write_text(RULES)
    with running(folder, "--rules", str(folder / "rules.yaml")) as address:
        yield address


@pytest.fixture(scope="session")
def start_sandbox() -> Callable[..., Any]:
    """Return a context manager that runs a sandbox of its own: folder, further options."""
    return running


class Site:
    """A lake with one plan, and real workers on it."""

    # By what phones of lists know a message: its dispatch. Empty where each has its own.
    listed: Mapping[str, str] = {}

    def __init__(self, home: Path, sandbox: Sandbox, lake: Lake, ds: str = DS, per_request: int = 1) -> None:
        self.home, self.sandbox, self.lake = home, sandbox, lake
        if per_request > 1:
            account = json.loads(Path(sandbox.names["huawei_credentials"]).read_text("utf-8"))
            (home / "huawei.json").write_text(json.dumps(account | {"per_request": per_request}), "utf-8")
            rows = self.lake.read(self.lake.require("dispatch_manifest", ds=ds)).to_pylist()
            self.listed = {
                listed_id(
                    str(list_id(row["campaign_id"], row["occurrence"], row["channel"])), row["address"]
                ): row["dispatch_id"]
                for row in rows
            }
        manifest = self.lake.read(self.lake.require("dispatch_manifest", ds=ds), ["dispatch_id"])
        self.dispatches = set(manifest["dispatch_id"].to_pylist())

    @classmethod
    def planned(
        cls,
        home: Path,
        sandbox: Sandbox,
        guarantee: str,
        prefix: str = "",
        part_rows: int = 100_000,
        devices: int = 1,
        per_request: int = 1,
    ) -> Site:
        lake = Lake.open(str(home / "lake"))
        first = next(_users)
        changes: dict[str, Any] = {
            "guarantee": guarantee,
            "user_id": lambda number: f"u{first + number // devices}",
            "message_id": lambda number: sample_plan.ids.message_id(
                "price_drop", f"u{first + number // devices}", "once"
            ),
        }
        if prefix:
            changes["address"] = lambda number: f"{prefix}{first + number}"
        if per_request > 1:  # one text for all, to Huawei's tokens
            fields = json.dumps({"campaign_id": "price_drop", "item": "camera", "first_name": "you"})
            changes |= {"channel": "huawei", "fields": fields, "locale": "en"}
            changes["address"] = lambda number: f"list-{first + number}"
        sample_plan.make(lake, DS, ROWS, part_rows=part_rows, changes=changes)
        site = cls(home, sandbox, lake, per_request=per_request)
        assert len(site.dispatches) == ROWS
        return site

    def start(self, *options: str, failpoint: str = "") -> subprocess.Popen[str]:
        env = {
            **os.environ, "ANGELIA_HOME": str(self.home), **self.environment(),
            "ANGELIA_FAILPOINT": failpoint,
        }  # fmt: skip
        command = [
            *ANGELIA,
            "deliver",
            "--ds",
            DS,
            "--send-hour",
            HOUR,
            "--clock",
            "simulated",
            "--batch-rows",
            str(BATCH),
            "--json",
            *options,
        ]
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def deliver(self, *options: str, failpoint: str = "") -> tuple[int, dict[str, Any], str]:
        process = self.start(*options, failpoint=failpoint)
        out, errors = process.communicate(timeout=60)
        return process.returncode, json.loads(out) if out else {}, errors

    def resume(self, **options: Any) -> RunResult:
        """Deliver in this process: a real worker too, without two seconds of imports."""
        given = Options(DS, (HOUR,), simulated=True, batch_rows=BATCH, **options)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment().items():
                patch.setenv(name, value)
            return asyncio.run(Delivery(self.lake, given).run())

    def received(self) -> dict[str, int]:
        """Return what this plan's phones have, by dispatch."""
        everybody = self.sandbox.received()
        if self.listed:
            return {self.listed[name]: n for name, n in everybody.items() if name in self.listed}
        return {dispatch: everybody[dispatch] for dispatch in self.dispatches if dispatch in everybody}

    def wait_until_sending(self, process: multiprocessing.process.BaseProcess, at_least: int = 1) -> None:
        """Wait until so many phones have something, while the worker is still at it."""
        deadline = time.monotonic() + 60
        while len(self.received()) < at_least:
            assert time.monotonic() < deadline
            assert process.is_alive()
            time.sleep(0.01)
        assert process.is_alive()

    def ledger(self, ds: str = DS) -> dict[str, str]:
        outcomes: dict[str, str] = {}
        for leaf in self.lake.partitions("delivery_ledger", ds=ds):
            table = self.lake.read(self.lake.require("delivery_ledger", **leaf), ["dispatch_id", "outcome"])
            outcomes.update(zip(table["dispatch_id"].to_pylist(), table["outcome"].to_pylist(), strict=True))
        return outcomes

    def environment(self) -> dict[str, str]:
        names = self.sandbox.names
        return {
            "ANGELIA_FCM_URL": names["url"],
            "ANGELIA_CA_FILE": names["ca_file"],
            "ANGELIA_FCM_CREDENTIALS": names["credentials"],
            "ANGELIA_HUAWEI_URL": names["url"],
            "ANGELIA_HUAWEI_CREDENTIALS": str(self.home / "huawei.json"),
        }

    def fork(
        self, failpoint: str = "", limit: int | None = None, **options: Any
    ) -> multiprocessing.process.BaseProcess:
        """Start a worker process that has its imports already, so a test can start hundreds."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["angelia.delivery.worker.run", "pandas"])
        given = {"ds": DS, "hours": (HOUR,), "simulated": True, "batch_rows": BATCH, **options}
        environment = {**self.environment(), "ANGELIA_FAILPOINT": failpoint}
        process = context.Process(target=worker, args=(str(self.home / "lake"), given, environment, limit))
        process.start()
        return process


def worker(lake: str, options: dict[str, Any], environment: dict[str, str], limit: int | None) -> None:
    """Deliver in a process of its own; exit code 0 done, 3 partly done, 2 refused.

    `limit`: no file larger than this may be written.
    """
    import resource

    from angelia.errors import AngeliaError

    os.environ.update(environment)
    sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - progress lines
    if limit is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        result = asyncio.run(Delivery(Lake.open(lake), Options(**options)).run())
    except (AngeliaError, OSError):
        sys.exit(2)
    finally:
        if limit is not None:  # coverage writes its own file when the process ends
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    sys.exit(3 if result.unfinished or result.busy else 0)


@pytest.fixture
def new_site(sandbox: Sandbox, tmp_path: Path) -> Callable[..., Site]:
    """Return a factory of sites: guarantee, folder name, and prefix of addresses (see RULES)."""
    return lambda guarantee, name="a home", **options: Site.planned(
        tmp_path / name, sandbox, guarantee, **options
    )


@pytest.fixture
def site_of() -> Callable[..., Site]:
    """Return how a site is made of a lake that has its plan: home, sandbox, lake."""
    return Site
