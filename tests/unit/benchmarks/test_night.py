"""A night's benchmark copies what a bucket lacks, and refuses what is no bucket."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia.errors import InvalidInput
from angelia.lake.opening import open_store
from benchmarks import night


def test_a_bucket_gets_what_it_lacks(tmp_path: Path) -> None:
    home, bucket = tmp_path / "home", tmp_path / "bucket"
    for name in ("lake/main/a.parquet", "lake/main/_commits/00000001.json", "models/p_open/model.txt"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(name)
    open_store(f"{bucket}/lake").put("main/a.parquet", b"stands")
    night.copied(home, str(bucket), None)
    assert (bucket / "lake/main/a.parquet").read_bytes() == b"stands"
    assert (bucket / "lake/main/_commits/00000001.json").exists()
    assert (bucket / "models/p_open/model.txt").exists()


def test_a_folder_is_refused_before_any_world_is_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no bucket"):
        night.main(["--lake", str(tmp_path), "--home", str(tmp_path / "home")])
    assert not (tmp_path / "home").exists()
