"""YAML files: what is read is what is seen, each value with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia.catalog.apply import InvalidDocuments, plan
from angelia.catalog.problems import DocumentProblem
from angelia.catalog.store import CatalogStore
from angelia.catalog.yaml_files import find_files, read_file
from angelia.errors import InvalidInput


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"a: " + b"x" * 1_000_001, "more than 1000000 bytes"),
        (b"[" * 5000, "nested too deeply"),
    ],
)
def test_files_that_are_no_yaml_are_refused(
    store: CatalogStore, tmp_path: Path, data: bytes, message: str
) -> None:
    (tmp_path / "a.yaml").write_bytes(data)
    with pytest.raises(InvalidDocuments, match=message):
        plan(store, [tmp_path / "a.yaml"])


def test_scalars_are_what_they_look_like(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: no\nb: 12:30\nc: 2026-11-14\nd: 007\ne: 1_000\nf: true\ng: ~\nh: 1e3\ni: -2\n")
    ((raw,), problems) = read_file(path)
    assert problems == []
    assert raw.value == {
        "a": "no",
        "b": "12:30",
        "c": "2026-11-14",
        "d": "007",
        "e": "1_000",
        "f": True,
        "g": None,
        "h": 1000.0,
        "i": -2,
    }
    assert raw.numbers == {("h",): "1e3", ("i",): "-2"}


def test_each_value_has_its_line_and_good_documents_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("kind: x\nid: one\nlist:\n  - 1\n  - b: 2\n    b: 3\n---\nid: [\n")
    ((raw,), problems) = read_file(path)
    assert raw.lines["list", 1, "b"] == 6
    assert raw.lines["list",] == 3, "the line of its key, not of its first value"
    assert raw.at(DocumentProblem(("list", 0), "wrong")) == f"{path}:4: x/one: list[0]: wrong"
    assert raw.at(DocumentProblem(("list", 0, "deeper"), "wrong")).startswith(f"{path}:4:")
    assert raw.at_path(("list", 0)) == 1
    assert problems[0] == f"{path}:6: b is given twice"
    assert problems[1].startswith(f"{path}:9: YAML: ")


def test_files_are_found_once_and_in_order(tmp_path: Path) -> None:
    for name in ("b/x.YML", "a.yaml", "b/note.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert find_files([tmp_path, tmp_path / "a.yaml"]) == [tmp_path / "a.yaml", tmp_path / "b" / "x.YML"]
    (tmp_path / "empty").mkdir()
    for wrong in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises(InvalidInput, match="no "):
            find_files([wrong])
