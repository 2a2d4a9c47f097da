"""docs/DAGS.md is what the DAGs' docstrings say, and a difference is named."""

import importlib

import pytest


@pytest.fixture
def writer(dags, tmp_path, monkeypatch):
    """Return the module with a folder of two files and a target of its own."""
    module = importlib.import_module("_document")
    (tmp_path / "sweep.py").write_text('"""## Sweep the floor\n\n**When.** At noon.\n"""\n')
    (tmp_path / "_shared.py").write_text('"""## Not a DAG"""\n')
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr(module, "TARGET", tmp_path / "DAGS.md")
    return module


def test_each_dag_has_its_part_and_shared_files_have_none(writer):
    text = writer.document()
    assert "## sweep\n\n*Sweep the floor.*\n\n**When.** At noon.\n" in text
    assert "Not a DAG" not in text


def test_a_difference_names_the_command_that_mends_it(writer, capsys):
    assert writer.main(["--check"]) == 1
    assert "make docs" in capsys.readouterr().err
    assert writer.main([]) == 0
    assert writer.main(["--check"]) == 0
    writer.TARGET.write_text(writer.TARGET.read_text() + "x")
    assert writer.main(["--check"]) == 1
