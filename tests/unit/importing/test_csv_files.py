"""CSV as other programs write it: read right, or refused with the real cause and the line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from angelia.commands.import_ import run_import
from angelia.config import load_settings
from angelia.errors import InvalidInput
from angelia.lake import Lake

DS = "2026-11-14"
PEOPLE = ["u1,bayern,1990", "u2,köln,1991", "u3,5 €,1992", "u4,düsseldorf,"]


@pytest.fixture(autouse=True)
def _home(settings_home: Path) -> None:
    """Every test here writes below its own home."""


def imported(
    tmp_path: Path,
    data: bytes,
    columns: dict[str, Any] | None = None,
    *,
    name: str = "people.csv",
    **declared: Any,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Import one file as profiles; return the rows and the command's result.

    Its columns are `id, province, born`.
    """
    columns = columns or {"user_id": "id", "province": "province", "birth_year": "born"}
    dataset = "user_events" if "event_id" in columns else "user_profiles"
    outputs = [{"dataset": dataset, "input": "people", "columns": columns}]
    inputs = {"people": {"match": "people*", **declared}}
    document = tmp_path / "mapping.yaml"
    document.write_text(json.dumps({"name": "m", "inputs": inputs, "outputs": outputs}))
    file = tmp_path / name
    file.write_bytes(data)
    result = run_import(load_settings(), document, [file], ds=DS, max_reject_pct=50.0)
    lake = Lake.open(load_settings().lake_url())
    rows = [
        row for day in lake.partitions(dataset) for row in lake.read(lake.require(dataset, **day)).to_pylist()
    ]
    return rows, result


def text(*lines: str, end: str = "\n", header: str = "id,province,born") -> str:
    return "".join(line + end for line in (header, *lines))


@pytest.mark.parametrize("encoding", ["windows-1252", "utf-16"])
def test_another_encoding_is_refused_by_its_name(tmp_path: Path, encoding: str) -> None:
    data = text(*[f"u{n:03},berlin,1990" for n in range(5, 500)], *PEOPLE).encode(encoding)
    with pytest.raises(InvalidInput, match="is not UTF-8 text, it reads as") as refused:
        imported(tmp_path, data)
    assert f"give its input `encoding: {encoding}`" in refused.value.one_line()


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "windows-1252", "utf-16", "utf-16-le", "utf-32", "iso-8859-15"]
)
def test_a_declared_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    rows, _ = imported(tmp_path, text(*PEOPLE).encode(encoding), encoding=encoding)
    assert [(row["user_id"], row["province"]) for row in rows] == [
        ("u1", "bayern"),
        ("u2", "köln"),
        ("u3", "5 €"),
        ("u4", "düsseldorf"),
    ]


def test_a_wrong_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"people\.csv is not shift_jis"):
        imported(tmp_path, text(*PEOPLE, "u5,\xff\xff,").encode("latin-1", "replace"), encoding="shift_jis")
    with pytest.raises(InvalidInput, match="encoding: is no encoding; for example windows-1252"):
        imported(tmp_path, b"", encoding="ansi-german")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_line_end_is_read(tmp_path: Path, end: str) -> None:
    assert len(imported(tmp_path, text(*PEOPLE, end=end).encode())[0]) == 4


def test_mixed_line_ends_are_read(tmp_path: Path) -> None:
    data = b'id,province,born\r\nu1,a,1990\nu2,"b\r\nc",1991\ru3,d,1992\r\n'
    rows, result = imported(tmp_path, data)
    assert [(row["user_id"], row["province"]) for row in rows] == [("u1", "a"), ("u2", "b\nc"), ("u3", "d")]
    assert result["outputs"][0]["rejected"] == {}


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;", "\ufeffsep=;"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_line_of_spreadsheets_names_the_separator(tmp_path: Path, first: str, end: str) -> None:
    data = (first + end + text("u1;a,b;1990", "u2;c;1991", end=end, header="id;province;born")).encode()
    rows, _ = imported(tmp_path, data)
    assert [(row["user_id"], row["province"]) for row in rows] == [("u1", "a,b"), ("u2", "c")]


@pytest.mark.parametrize("n_before", [3, 50_000])
@pytest.mark.parametrize("line", ['x,"berlin,1990', 'x,"berlin" mitte",1990', 'x,"berlin" mitte,1990'])
def test_an_unclosed_quote_is_the_cause_that_is_named(tmp_path: Path, line: str, n_before: int) -> None:
    people = [f"u{n},berlin,1990" for n in range(n_before)]
    data = text(*people, line, *[f"v{n},berlin,1990" for n in range(n_before)]).encode()
    with pytest.raises(InvalidInput) as refused:
        imported(tmp_path, data)
    cause = f"people.csv line {n_before + 2}: a quote opens and does not close, or stands inside a value"
    assert refused.value.message == cause


def test_a_line_that_is_too_long_is_the_cause_that_is_named(tmp_path: Path) -> None:
    long = "x" * 500_000
    rows, _ = imported(tmp_path, text("u1,berlin,1990", f"u2,{long},1990").encode())
    assert len(rows) == 2
    with pytest.raises(InvalidInput, match=r"people\.csv line 3 is longer than 2,000,000 bytes"):
        imported(tmp_path, text("u1,berlin,1990", f"u2,{long * 5},1990", "u3,berlin,1990").encode())
    with pytest.raises(InvalidInput, match=r"people\.csv line 3: a quote opens"):
        imported(tmp_path, text("u1,berlin,1990", f'"u2,{long},1990', "u3,berlin,1990").encode())


def test_another_delimiter_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has no column 'id'") as refused:
        imported(tmp_path, text("u1;berlin;1990", header="id;province;born").encode())
    assert "is that its `delimiter:`?" in refused.value.one_line()


@pytest.mark.parametrize("first", ["", "sep=,\n"])
@pytest.mark.parametrize("header", ["id,province,born,id", '"id",province,born, id', "ID,province,born,id"])
def test_of_two_columns_of_a_name_none_is_guessed(tmp_path: Path, header: str, first: str) -> None:
    data = (first + text("u1,berlin,1990,u7", header=header)).encode()
    name = "ID" if header.startswith("ID") else "id"
    columns = {"user_id": name, "birth_year": "born"}
    with pytest.raises(InvalidInput, match=f"the file has 2 columns named '{name}'") as refused:
        imported(tmp_path, data, columns)
    assert f"'{name} (column 1)'" in str(refused.value.fix)
    for column, user in ((f"{name} (column 1)", "u1"), ("id (column 4)", "u7")):
        rows, _ = imported(tmp_path, data, {"user_id": column, "birth_year": "born"})
        assert [row["user_id"] for row in rows] == [user]
    # A name that is given twice and not asked for hurts nobody, nor do columns without one.
    rows, _ = imported(tmp_path, text("u1,berlin,1990,x,y", header="id,a,a,,").encode(), {"user_id": "id"})
    assert [row["user_id"] for row in rows] == ["u1"]


def test_another_escape_is_read(tmp_path: Path) -> None:
    data = text('u1,"a \\"b\\", c",1990', "u2,d,1991").encode()
    rows, _ = imported(tmp_path, data, escape="\\")
    assert [row["province"] for row in rows] == ['a "b", c', "d"]
    with pytest.raises(InvalidInput, match="line 2: a quote opens"):
        imported(tmp_path, data)


def test_quotes_may_mean_nothing(tmp_path: Path) -> None:
    rows, _ = imported(tmp_path, text('u1,"a,1990', 'u2,5" b,1991').encode(), quote="")
    assert [row["province"] for row in rows] == ['"a', '5" b']


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    for data in (b"", b"\n\n", b"\xef\xbb\xbf"):
        with pytest.raises(InvalidInput, match=r"people\.csv is empty"):
            imported(tmp_path, data)


def test_broken_lines_are_in_the_samples_file(tmp_path: Path) -> None:
    data = text(*PEOPLE, "u5,berlin", "u6,berlin,1990,leak@mail.example", *[f"v{n},a,1990" for n in range(9)])
    rows, result = imported(tmp_path, data.encode())
    assert len(rows) == 13
    assert result["outputs"][0]["rejected"] == {"line is no CSV row": 2}
    samples = Path(result["reject_samples"]).read_text()
    assert "leak" not in samples
    assert [json.loads(line) for line in samples.splitlines()] == [
        {"file": "people.csv", "line": 6, "problem": "missing columns", "reason": "line is no CSV row"},
        {"file": "people.csv", "line": 7, "problem": "too many columns", "reason": "line is no CSV row"},
    ]


EVENTS: dict[str, Any] = {
    "event_id": "id",
    "user_id": "id",
    "event_type": {"constant": "purchase"},
    "value": "amount",
    "event_ts": "at",
}


def events(tmp_path: Path, *lines: str, columns: dict[str, Any] | None = None, **declared: Any) -> Any:
    data = text(*lines, header="id;amount;at").encode()
    rows, result = imported(tmp_path, data, {**EVENTS, **(columns or {})}, delimiter=";", **declared)
    return {row["user_id"]: (row["value"], row["event_ts"]) for row in rows}, result["outputs"][0]


NOON = datetime(2026, 11, 13, 12, tzinfo=UTC)


def test_decimal_commas(tmp_path: Path) -> None:
    at = "2026-11-13 12:00:00"
    lines = [f"a;9,50;{at}", f"b;-1.234,5;{at}", f"c;1.234.567;{at}", f"d;7;{at}", f"e;;{at}", f"f;1.5;{at}"]
    values, counts = events(tmp_path, *lines, decimal=",")
    assert {user: value for user, (value, _) in values.items()} == {
        "a": 9.5,
        "b": -1234.5,
        "c": 1234567.0,
        "d": 7.0,
        "e": None,
    }
    assert counts["rejected"] == {"value: not a number with a decimal comma": 1}


def test_decimal_commas_in_sums_types_and_filters(tmp_path: Path) -> None:
    at = "2026-11-13 12:00:00"
    lines = [f"a;9,50;{at}", f"b;1.000,00;{at}", f"c;0,1;{at}"]
    large = [{"column": "amount", "op": "gt", "value": 1}]
    for value in ({"from": "amount", "scale": 2}, {"from": "amount", "type": "float", "scale": 2}):
        values, _ = events(tmp_path, *lines, columns={"value": value}, decimal=",")
        assert {user: value for user, (value, _) in values.items()} == {"a": 19.0, "b": 2000.0, "c": 0.2}
    squares, _ = events(tmp_path, *lines, columns={"value": {"product": ["amount", "amount"]}}, decimal=",")
    assert squares["a"][0] == 90.25
    when = {"from": "amount", "when": large[0]}
    values, _ = events(tmp_path, *lines, columns={"value": when}, decimal=",")
    assert {user: value for user, (value, _) in values.items()} == {"a": 9.5, "b": 1000.0, "c": None}


@pytest.mark.parametrize(
    ("written", "date_format"),
    [
        ("13.11.2026 12:00", "%d.%m.%Y %H:%M"),
        ("11/13/26 12:00 PM", "%m/%d/%y %I:%M %p"),
        ("13-Nov-2026 12:00:00", ["%Y-%m-%d", "%d-%b-%Y %H:%M:%S"]),
        ("13.11.2026 13:00 +0100", "%d.%m.%Y %H:%M %z"),
        ("20261113120000", "%Y%m%d%H%M%S"),
    ],
)
def test_date_formats(tmp_path: Path, written: str, date_format: Any) -> None:
    values, counts = events(tmp_path, f"a;1;{written}", "b;1;2026-13-11", date_format=date_format)
    assert values == {"a": (1.0, NOON)}
    assert counts["rejected"] == {"event_ts: no moment in its date format": 1}
    own = {"event_ts": {"from": "at", "timestamp": {"date_format": date_format}}}
    assert events(tmp_path, f"a;1;{written}", columns=own)[0] == {"a": (1.0, NOON)}


def test_a_date_format_is_of_the_mappings_zone(tmp_path: Path) -> None:
    rule = {"date_format": "%d.%m.%Y %H:%M", "timezone": "Europe/Berlin"}
    columns = {"event_ts": {"from": "at", "timestamp": rule}}
    assert events(tmp_path, "a;1;13.11.2026 13:00", columns=columns)[0] == {"a": (1.0, NOON)}


@pytest.mark.parametrize("written", ["yyyy-mm-dd", "%Q", "%d.%m.%Y %", ["%d %z", "%d"], []])
def test_what_is_no_date_format_is_refused(tmp_path: Path, written: Any) -> None:
    with pytest.raises(InvalidInput, match="date_format"):
        events(tmp_path, "a;1;2026-11-13", date_format=written)


@pytest.mark.parametrize(
    ("written", "declared"), [("46339.5", {}), ("46339,5", {"decimal": ","}), ("46339.50000001", {})]
)
def test_serial_days_of_spreadsheets(tmp_path: Path, written: str, declared: dict[str, Any]) -> None:
    columns = {"event_ts": {"from": "at", "timestamp": {"unit": "excel_days"}}}
    values, _ = events(tmp_path, f"a;1;{written}", columns=columns, **declared)
    assert abs((values["a"][1] - NOON).total_seconds()) < 0.01


@pytest.mark.parametrize("name", ["people.CSV", "people.Txt", "people.TSV"])
def test_the_case_of_an_ending_does_not_count(tmp_path: Path, name: str) -> None:
    assert (
        len(imported(tmp_path, text(*PEOPLE).encode(), name=name, match=f"people*{name[6:].lower()}")[0]) == 4
    )
