"""`angelia audience list` and `export`: files of ids in and out, and what they leave out."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from angelia.lake import Lake
from tests.unit.audience.typed import People, asked, run


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_export_writes_the_ids_and_never_over_a_file(
    people: People, capsys: pytest.CaptureFixture[str], tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / f"women{suffix}"
    assert asked(capsys, "export", "women", file)["users"] == sum(p["gender"] == "f" for p in people)
    ids = (
        file.read_text().replace('"', "").splitlines()[1:]
        if suffix == ".csv"
        else pq.read_table(file)["user_id"].to_pylist()
    )
    assert ids == [p["user_id"] for p in people if p["gender"] == "f"]
    assert file.stat().st_mode & 0o077 == 0
    before = file.read_bytes()
    code, _, err = run(capsys, "export", "TRUE", file)
    assert code == 2
    assert "exists" in err
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [file.name]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.csv", "id,name\nu1,a\n", "no column 'user_id'"),
        ("a.csv", "", "a.csv is empty; write user_id on its first line"),
        ("a.csv", "\ufeff\r\n", "a.csv is empty; write user_id on its first line"),
        ("a.xlsx", "user_id\nu1\n", "neither .csv nor .parquet"),
        ("none.csv", None, "no file"),
        ("a.parquet", "user_id\nu1\n", "a.parquet cannot be read as Parquet"),
        ("lists.parquet", pa.table({"user_id": [["u1"], ["u2"]]}), "of type list of string, not text"),
        ("ragged.csv", "user_id,name\nu1,a\n\nu2,b,c\n", "ragged.csv line 4 has 3 columns, its header 2"),
        ("quote.csv", 'user_id,name\nu1,"a\nu2,b\n', "quote.csv line 2: a quote opens and does not close"),
        ("close.csv", 'user_id\nu1\n"u2\nu3\n"u4\n', "close.csv line 3: a quote opens and does not close"),
        ("latin.csv", "user_id,name\nu1,M\udcfcller\n", "line 2 is not UTF-8 text, it reads as windows-1252"),
        ("utf_16.csv", "\udcff\udcfeu\0s\0", "line 1 is not UTF-8 text, it reads as utf-16"),
    ],
)
def test_a_file_that_is_no_list_is_refused(
    name: str,
    content: str | pa.Table | None,
    problem: str,
    people: People,
    lake: Lake,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    if isinstance(content, str):
        (tmp_path / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    elif content is not None:
        pq.write_table(content, tmp_path / name)
    code, out, err = run(capsys, "list", "vip", tmp_path / name)
    assert (code, out) == (2, "")
    assert problem in err
    assert err.count("\n") == 1
    assert lake.partitions("user_lists") == []


def test_an_explicit_list_counts_what_it_leaves_out(
    people: People, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "vip.csv"
    file.write_text("user_id,name\nu1,a\nu2,b\nu2,b\nnobody,c\n")
    answer = asked(capsys, "list", "vip", file)
    assert (answer["users"], answer["rejects"]) == (2, {"duplicate": 1, "unknown_user": 1})
    assert asked(capsys, "count", "in_list('vip')")["count"] == 2
    assert asked(capsys, "count", "NOT in_list('vip')")["count"] == 498
    pq.write_table(
        pa.table({"user_id": ["u3", None, "u4", "NaN"], "n": [1, 2, 3, 4]}), tmp_path / "vip.parquet"
    )
    answer = asked(capsys, "list", "vip", tmp_path / "vip.parquet")  # replaces the list
    assert (answer["users"], answer["rejects"]) == (2, {"null_user_id": 2})
    assert asked(capsys, "count", "in_list('vip')")["count"] == 2
    code, _, err = run(capsys, "count", "in_list('vpi')")
    assert code == 2
    assert err == "error: predicate at column 1: no list 'vpi' [^in_list('vpi')]; did you mean vip?\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "user_id \nu1   \n  u2\t\n"),
        ("a.CSV", "user_id\nu1\nu2\n"),
        ("a.txt", "\ufeffuser_id\r\nu1\u00a0\r\nu2\r\n"),
        ("a.csv", "name;User_ID\nx; u1 \ny;u2\n"),
        ("a.csv", 'sep=;\n"name";"user_id"\n"x";"u1 "\n"y";"u2"\n'),
        ("a.TSV", "user_id\tname\nu1\tx\nu2\ty\n"),
        ("a.PARQUET", pa.table({"user_id": ["u1 ", " u2", "  ", None]})),
        ("a.csv", "user_id\ru1\ru2\r"),
    ],
)
def test_ids_are_read_without_the_blanks_around_them(
    name: str,
    content: str | pa.Table,
    people: People,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    if isinstance(content, str):
        (tmp_path / name).write_text(content, newline="")
    else:
        pq.write_table(content, tmp_path / name)
    result = asked(capsys, "list", "vip", tmp_path / name)
    assert result["users"] == 2
    assert "unknown_user" not in result["rejects"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("user_id\n", "it names nobody"),
        ("user_id", "it names nobody"),
        ("user_id\n\n  \n", "it names nobody"),
        ("user_id\nn1\nn2\nu3\n", "2 of 3 ids are unknown"),
    ],
)
def test_a_list_of_nobody_needs_force(
    text: str, problem: str, people: People, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("user_id\nu1\nu2\n")
    bad.write_text(text)
    assert asked(capsys, "list", "vip", good)["users"] == 2
    code, out, err = run(capsys, "list", "vip", bad)
    assert (code, out) == (2, "")
    assert problem in err
    assert asked(capsys, "count", "NOT in_list('vip')")["count"] == 498
    asked(capsys, "list", "vip", bad, "--force")
    assert asked(capsys, "count", "NOT in_list('vip')")["count"] == (499 if "u3" in text else 500)


def test_export_takes_an_ending_in_capitals(
    people: People, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "women.CSV"
    assert asked(capsys, "export", "women", file)["users"]
    assert file.read_text().splitlines()[0] == '"user_id"'
