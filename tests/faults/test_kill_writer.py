"""Writers that die: killed at a named place with SIGKILL, or out of disk.

They are real processes on a real folder; readers stay on the old commit.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from angelia.errors import AngeliaError
from angelia.lake import Lake
from angelia.lake.expire import expire
from angelia.lake.verify import verify

DS = "2026-11-14"
FILES = 6


def publish(lake: Lake, first: int, rows: int = 3) -> str:
    """Write a commit of FILES files whose ordinals begin at `first`."""
    with lake.attempt("material_scores", ds=DS) as attempt:
        for part in range(FILES):
            columns = {
                "ordinal": pa.array(range(first, first + rows), pa.uint32()),
                "campaign_id": pa.array(["c"] * rows),
                "material_id": pa.array(["m"] * rows),
                "p_open": pa.array([(i * 0.754877) % 1 for i in range(rows)]),  # does not compress
                "lift": pa.nulls(rows, pa.float64()),
            }
            attempt.write(pa.table(columns), f"part-{part:04d}.parquet")
        return attempt.publish().ref


def run_writer(
    lake: Lake, first: int, *, failpoint: str | None = None, file_limit: int | None = None, rows: int = 3
) -> subprocess.CompletedProcess[str]:
    """Run `publish` in a process of its own."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    if failpoint:
        environment["ANGELIA_FAILPOINT"] = failpoint

    def limit() -> None:
        if file_limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

    return subprocess.run(
        [sys.executable, __file__, lake.store.url, str(first), str(rows)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=limit,
        check=False,
    )


def seen(lake: Lake) -> list[int]:
    """Return the first ordinal of each file of what readers see."""
    commit = lake.head("material_scores", ds=DS)
    return [] if commit is None else sorted(set(lake.read(commit)["ordinal"].to_pylist()))


def attempts(lake: Lake) -> set[str]:
    return {key.split("/")[3] for key in lake.store.list("") if "/attempt-" in key}


@pytest.mark.parametrize(
    ("failpoint", "visible", "before"),
    [
        ("write.file:1", False, 1),
        (f"write.file:{FILES // 2}", False, 0),
        ("publish.before_audit", False, 1),
        ("publish.before_create", False, 1),
        ("create.before_link", False, 0),
        ("create.before_link", False, 1),
        ("create.after_link", True, 0),
        ("create.after_link", True, 1),
    ],
)
def test_a_killed_writer_is_all_or_nothing(lake: Lake, failpoint: str, visible: bool, before: int) -> None:
    if before:
        publish(lake, 100)
    old = [100, 101, 102] if before else []
    dead = run_writer(lake, 200, failpoint=failpoint)
    assert dead.returncode == -signal.SIGKILL
    assert (dead.stdout, dead.stderr) == ("", "")
    assert seen(lake) == ([200, 201, 202] if visible else old)
    assert len(attempts(lake)) == before + 1
    assert verify(lake).problems == []

    assert publish(lake, 300) == f"material_scores/ds={DS}@{1 + before + visible}"
    assert seen(lake) == [300, 301, 302]

    assert expire(lake, 30).orphans == []  # too young to be called dead
    tomorrow = Lake(lake.store, clock=lambda: datetime.now(UTC) + timedelta(days=1, minutes=5))
    assert len(expire(tomorrow, 30).orphans) == (0 if visible else 1)
    assert len(attempts(lake)) == before + 1 + visible
    assert list(Path(lake.store.url, ".tmp").iterdir()) == []
    assert verify(lake).problems == []


def test_a_full_disk_is_one_line_and_nothing_is_seen(lake: Lake) -> None:
    publish(lake, 100)
    before = sorted(lake.store.list(""))
    full = run_writer(lake, 200, file_limit=20_000, rows=50_000)
    assert full.returncode == 2
    assert full.stderr.startswith("error: cannot write to the lake at ")
    assert full.stderr.count("\n") == 1
    assert "File too large" in full.stderr
    assert "free space" in full.stderr
    assert sorted(lake.store.list("")) == before
    assert seen(lake) == [100, 101, 102]
    assert list(Path(lake.store.url, ".tmp").iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount 1 MiB of tmpfs; skip the test where it may not mount.

    The writer is covered everywhere by RLIMIT_FSIZE above.
    """
    folder = tmp_path / "small disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting tmpfs is not permitted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_no_space_left_is_one_line_until_space_is_freed(small_disk: Path) -> None:
    lake = Lake.open(str(small_disk / "lake"))
    publish(lake, 100)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 600_000)
    full = run_writer(lake, 200, rows=20_000)
    assert full.returncode == 2
    assert full.stderr.count("\n") == 1
    assert "No space left on device" in full.stderr
    assert seen(lake) == [100, 101, 102]
    ballast.unlink()
    publish(lake, 300)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(AngeliaError, match="Read-only file system"):
        publish(lake, 400)
    assert seen(lake) == [300, 301, 302]


if __name__ == "__main__":  # the process that dies
    try:
        publish(Lake.open(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    except AngeliaError as error:
        sys.stderr.write(f"error: {error.one_line()}\n")
        sys.exit(2)
