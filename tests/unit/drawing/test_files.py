"""Pages as files: whole or not at all, and a refusal that names the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia.drawing.files import require_writable, write_text
from angelia.errors import InvalidInput


def test_a_page_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "page.html"
    write_text(path, "old, and longer")
    write_text(path, "é")
    assert path.read_bytes() == "é".encode()
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half \ud800")
    assert path.read_text("utf-8") == "old"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match=r"cannot write .*file/page\.html"):
        require_writable(tmp_path / "file" / "page.html")
    with pytest.raises(InvalidInput, match="cannot write") as refused:
        write_text(tmp_path, "x")
    assert refused.value.fix == "name a file in a folder you may write to"
