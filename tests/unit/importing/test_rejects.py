"""The key that hides rejected values."""

from __future__ import annotations

import stat
from pathlib import Path

from angelia.importing.rejects import _key


def test_the_key_of_rejects_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    assert _key(tmp_path / "key") == _key(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
