"""The journal: a second call completes a killed erasure, and no two run at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from angelia.errors import Conflict
from angelia.lake import Lake
from angelia.lake.erasing.erase import erase
from angelia.lake.verify import verify

WHO, OTHER = "u0000003", "u0000030"


def test_one_erasure_at_a_time(filled: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = {"host": "elsewhere", "pid": 1, "since_ts": "2026-11-14T12:00:00+00:00", "nonce": "x"}
    filled.store.create("erasing/locks/00000001", json.dumps(lock).encode())
    with pytest.raises(
        Conflict, match="another erasure is under way, on elsewhere since 2026-11-14T12:00:00"
    ):
        erase(filled, [WHO])
    assert erase(filled, [WHO], takeover=True).people == 1
    assert erase(filled, [OTHER]).people == 1  # released


KILLS = [
    "erase.begun",
    "erase.suppressed",
    "write.file",
    "erase.before_commits",
    "erase.before_commits:5",
    "erase.commit",
    "erase.commit:9",
    "erase.dropped:3",
]


def run_erase(lake: Lake, failpoint: str | None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ANGELIA_LAKE": lake.store.url, "PYTHONDONTWRITEBYTECODE": "1"}
    if failpoint:
        environment["ANGELIA_FAILPOINT"] = failpoint
    code = "import sys; from angelia.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "lake", "erase", "--user", WHO, "--json"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("failpoint", KILLS)
def test_killed_anywhere_the_same_call_completes_it(
    look: SimpleNamespace, filled: Lake, failpoint: str
) -> None:
    lake = filled
    before, gone = look.rest(lake), look.addresses(lake, WHO)
    killed = run_erase(lake, failpoint)
    assert killed.returncode == -9, killed.stderr
    assert verify(Lake(lake.store)).problems == []
    assert look.rest(lake) == before
    done = run_erase(lake, None)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["resumed"] == 1
    assert look.traces(lake.store, WHO, *gone) == []
    assert look.rest(lake) == before
    assert verify(Lake(lake.store)).problems == []
    assert (
        len(
            {
                row["user_id"]
                for row in Lake(lake.store).read_log("suppressions").to_pylist()
                if row["reason"] == "erased"
            }
        )
        >= 1
    )
