"""The cookbook "add a channel", followed to the letter.

A package is built, installed, loaded by its entry point, and sends.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from angelia.delivery.channels import open_provider
from angelia.delivery.channels.base import ChannelConfig
from angelia.delivery.manifest import sample_plan
from angelia.errors import InvalidInput
from angelia.lake import Lake

pytestmark = pytest.mark.integration
PACKAGE = Path(__file__).parents[2] / "docs" / "examples" / "channel_package"
DS, HOUR, ROWS = "2026-11-14", "2026-11-15T04", 120
ANGELIA = [sys.executable, "-c", "from angelia.cli import main; main()"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the package and install it into a folder of its own, without a network."""
    folder = tmp_path_factory.mktemp("channel package")
    shutil.copytree(PACKAGE, folder / "source")
    quiet = {"check": True, "capture_output": True, "timeout": 120}
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    subprocess.run(
        [
            uv,
            "build",
            "--offline",
            "--no-config",
            "--wheel",
            "--out-dir",
            str(folder / "dist"),
            str(folder / "source"),
        ],
        **quiet,
    )
    [wheel] = (folder / "dist").glob("*.whl")
    target = folder / "site"
    options = ["--no-index", "--no-deps", "--disable-pip-version-check", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(wheel)], **quiet)
    return target


def test_a_worker_sends_by_a_channel_of_an_entry_point(
    installed: Path, sandbox: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake.open(str(tmp_path / "lake"))
    monkeypatch.setitem(sample_plan.PROVIDERS, "sms", "relay")
    address = lambda n: f"gone-{n}" if n == 7 else f"not an address {n}" if n == 8 else f"+1555{n:07d}"  # noqa: E731
    changes = {
        "channel": "sms",
        "address": address,
        "user_id": lambda n: f"relay{n}",
        "message_id": lambda n: sample_plan.ids.message_id("price_drop", f"relay{n}", "once"),
    }
    sample_plan.make(lake, DS, ROWS, changes=changes)
    environment = {
        **os.environ, "ANGELIA_HOME": str(tmp_path), "ANGELIA_SMS_URL": sandbox.names["url"],
        "ANGELIA_CA_FILE": sandbox.names["ca_file"],
        "ANGELIA_SMS_CREDENTIALS": sandbox.names["webhook_credentials"],
        "PYTHONPATH": os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH", "")])),
    }  # fmt: skip
    command = [
        *ANGELIA,
        "deliver",
        "--ds",
        DS,
        "--send-hour",
        HOUR,
        "--channel",
        "sms",
        "--clock",
        "simulated",
        "--json",
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["delivered"] == {"accepted": ROWS - 2, "rejected": 2}
    plan = lake.read(lake.require("dispatch_manifest", ds=DS), ["dispatch_id", "address"]).to_pylist()
    received = sandbox.received()
    assert {row["address"]: received.get(row["dispatch_id"], 0) for row in plan} == {
        address(n): int(n not in (7, 8)) for n in range(ROWS)
    }
    [leaf] = lake.partitions("delivery_ledger", ds=DS)
    ledger = lake.read(lake.require("delivery_ledger", **leaf)).to_pylist()
    assert sorted(row["reason"] for row in ledger if row["reason"]) == ["bad_address", "gone:HTTP_410"]
    assert [entry["user_id"] for entry in lake.read_log("suppressions").to_pylist()] == ["relay7"]


def test_without_the_package_nothing_is_sent() -> None:
    with pytest.raises(InvalidInput, match="no provider is called 'relay'"):
        open_provider(ChannelConfig("sms", "relay", 60.0))
