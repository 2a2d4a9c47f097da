"""docs/DAGS.md is the docstrings of the DAG files, and a stale page fails the check."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "dags"))

import _document


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with one DAG and one shared file, from which the page is written."""
    (tmp_path / "b_night.py").write_text('"""## The night\n\nRuns daily.\n"""\n')
    (tmp_path / "_shared.py").write_text('"""Not a DAG."""\n')
    monkeypatch.setattr(_document, "FOLDER", tmp_path)
    monkeypatch.setattr(_document, "TARGET", tmp_path / "DAGS.md")
    return tmp_path


def test_each_dag_has_a_section_and_shared_files_none(folder: Path) -> None:
    (folder / "a_first.py").write_text('"""First"""\n')
    text = _document.document()
    assert text.index("## a_first\n\n*First.*") < text.index("## b_night\n\n*The night.*\n\nRuns daily.")
    assert "Not a DAG" not in text


def test_a_page_that_is_stale_or_absent_fails_the_check(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _document.main(["--check"]) == 1
    assert "run: make docs" in capsys.readouterr().err
    assert (_document.main([]), _document.main(["--check"])) == (0, 0)
    (folder / "b_night.py").write_text('"""Another night."""\n')
    assert _document.main(["--check"]) == 1
