"""`angelia audience …` as an operator types it: output, exit codes, harmless mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from angelia import cli
from angelia.contracts import arrow, dataset
from angelia.contracts.ids import uniform, user_keys
from angelia.lake import Lake

People = list[dict[str, object]]


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    try:
        cli.main(["audience", *map(str, args)])
        code = 0
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def asked(capsys: pytest.CaptureFixture[str], *args: object) -> dict[str, object]:
    code, out, err = run(capsys, *args, "--json")
    assert (code, err) == (0, "")
    answer: dict[str, object] = json.loads(out)
    return answer


def test_a_day_of_a_mistyped_year_is_no_default(
    people: People, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    before = asked(capsys, "count", "gender = 'f'")
    with lake.attempt("bitmap_index", ds="2062-05-08") as attempt:
        attempt.write(arrow.schema(dataset("bitmap_index")).empty_table(), "blocks-00000-00000.parquet")
        attempt.publish()
    after = asked(capsys, "count", "gender = 'f'")
    assert (after["ds"], after["count"]) == ("2026-11-14", before["count"])


def test_count_tells_who_matches_and_who_may_be_reached(
    people: People, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = asked(capsys, "count", "gender = 'f' AND age_years >= 30")
    match = [p for p in people if p["gender"] == "f" and (p["age_years"] or 0) >= 30]  # type: ignore[operator]
    reachable = [p for p in match if p["channels"] and not p["is_suppressed"]]
    held = uniform(user_keys([str(p["user_id"]) for p in reachable]), "bucket", "s") * 100 < 20
    assert (answer["count"], answer["allowed"], answer["held_out"]) == (
        len(match),
        len(reachable) - held.sum(),
        held.sum(),
    )
    assert 0 < held.sum() < len(reachable) < len(match)
    assert set(answer) >= {"engine_ms", "bitmaps_read", "bytes_read", "rows_read", "ds", "predicate"}
    assert answer["bitmaps_read"]
    code, out, _ = run(capsys, "count", "gender = 'f' AND age_years >= 30")
    assert code == 0
    suppressed = sum(bool(p["is_suppressed"]) for p in match)
    without = len(match) - len(reachable) - suppressed
    assert (answer["suppressed"], answer["without_channel"]) == (suppressed, without)
    assert suppressed
    assert without
    left_out = f"{suppressed:,} suppressed, {without:,} without a channel, {held.sum():,} held out"
    assert out.startswith(
        f"{len(match):,} match, {len(reachable) - held.sum():,} reachable and allowed ({left_out})"
    )


def test_count_of_a_saved_audience(people: People, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(capsys, "count", "women")["count"] == sum(p["gender"] == "f" for p in people)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("province = 'guandong'", "note: nobody has province = 'guandong'; did you mean guangdong?"),
        (
            "province LIKE 'guandong%' OR gender = 'f'",
            "note: nobody has province LIKE 'guandong%'; did you mean guangdong?",
        ),
        ("NOT opted_out('prmo')", "note: nobody has opted out of 'prmo'; did you mean promo?"),
        ("count_events('purchse', 3) = 0", "note: nobody did 'purchse' in 6 days; did you mean purchase?"),
        ("days_since('opne') IS NULL", "note: nobody did 'opne' in 6 days; did you mean open?"),
        ("NOT received('sael', 3)", "note: nobody received 'sael' in 6 days; did you mean sale?"),
    ],
)
def test_names_that_nobody_has_are_told(
    text: str, note: str, people: People, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("count", "explain"):
        (hint,) = asked(capsys, command, text)["hints"]  # type: ignore[misc]
        assert str(hint).startswith(note)
    assert note in run(capsys, "count", text)[1]


def test_names_that_somebody_has_are_not_told(people: People, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        "province LIKE 'guang%' AND NOT opted_out('promo') AND days_since('open') <= 3 AND NOT "
        "opened('sale', 3)"
    )
    assert asked(capsys, "count", text)["hints"] == []


def test_explain_shows_each_node_with_its_people_and_reads(
    people: People, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = asked(
        capsys,
        "explain",
        "active_women AND sum_events('purchase', 3) > 0".replace(
            "active_women", "in_audience('active_women')"
        ),
    )
    plan = answer["plan"]
    assert isinstance(plan, list)
    women, openers = sum(p["gender"] == "f" for p in people), 250
    assert [(row["depth"], row["node"], row["count"]) for row in plan[:6]] == [
        (0, "AND", plan[0]["count"]),
        (1, "in_audience('active_women')", plan[1]["count"]),
        (2, "AND", plan[1]["count"]),
        (3, "in_audience('women')", women),
        (4, "gender = 'f'", women),
        (3, "days_since('open') <= 2", openers),
    ]
    assert plan[6]["note"] == "summed from lists of amounts"
    assert plan[6]["count"] == 50
    assert plan[6]["rows_read"] == 50
    assert sum(row["bitmaps_read"] for row in plan) == answer["bitmaps_read"]
    assert sum(row["bytes_read"] for row in plan) == answer["bytes_read"]


def test_breakdown_adds_up(people: People, capsys: pytest.CaptureFixture[str]) -> None:
    answer = asked(capsys, "breakdown", "age_years = 30", "--by", "gender")
    thirty = [p for p in people if p["age_years"] == 30]
    want = {
        name: sum(p["gender"] == value for p in thirty)
        for name, value in (("f", "f"), ("m", "m"), ("(null)", None))
    }
    assert answer["parts"] == want
    assert answer["count"] == len(thirty)
    assert run(capsys, "breakdown", "FALSE", "--by", "gender")[1] == "0 match\n"


def test_overlap(people: People, capsys: pytest.CaptureFixture[str]) -> None:
    answer = asked(capsys, "overlap", "women", "age_years = 30")
    a, b = (
        {p["ordinal"] for p in people if p["gender"] == "f"},
        {p["ordinal"] for p in people if p["age_years"] == 30},
    )
    assert [answer[name] for name in ("first", "second", "both", "either")] == [
        len(a),
        len(b),
        len(a & b),
        len(a | b),
    ]


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
        ("a.xlsx", "user_id\nu1\n", "neither .csv nor .parquet"),
        ("none.csv", None, "no file"),
        ("a.parquet", "user_id\nu1\n", "a.parquet cannot be read as Parquet"),
        ("lists.parquet", pa.table({"user_id": [["u1"], ["u2"]]}), "of type list of string, not text"),
        ("ragged.csv", "user_id,name\nu1,a\n\nu2,b,c\n", "ragged.csv line 4 has 3 columns, its header 2"),
        ("quote.csv", 'user_id,name\nu1,"a\nu2,b\n', "quote.csv line 2: a quote opens and does not close"),
        ("close.csv", 'user_id\nu1\n"u2\nu3\n"u4\n', "close.csv line 3: a quote opens and does not close"),
        ("latin.csv", "user_id,name\nu1,M\udcfcller\n", "line 2 is no UTF-8 text, it reads as windows-1252"),
        ("utf_16.csv", "\udcff\udcfeu\0s\0", "line 1 is no UTF-8 text, it reads as utf-16"),
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
    pq.write_table(pa.table({"user_id": ["u3", None, "u4"], "n": [1, 2, 3]}), tmp_path / "vip.parquet")
    answer = asked(capsys, "list", "vip", tmp_path / "vip.parquet")  # replaces the list
    assert (answer["users"], answer["rejects"]) == (2, {"null_user_id": 1})
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
    found = asked(capsys, "list", "vip", tmp_path / name)
    assert found["users"] == 2
    assert "unknown_user" not in found["rejects"]


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


MISTAKES = [
    ("gender = 'f", "column 10"),
    ("gendr = 'f'", "did you mean gender?"),
    ("age_years = 'x'", "without quotes"),
    ("gender IN (SELECT 1)", "SELECT is not allowed"),
    ("DROP TABLE users", "DROP is not allowed"),
    ("gender = 'f'; TRUE", "semicolon"),
    ("gender IN ()", "IN () is empty"),
    ("age_years > nan", "not a number people can have"),
    ("signup_date > '2026-13-01'", "is not a day"),
    ("signup_date > '9999-01-01'", "out of range"),
    ("count_events('open', 7) > 1", "days is between 1 and 6"),
    (" OR ".join(["age_years = 1"] * 10_000), "longer than"),
    ("womn", "did you mean women"),
    ("in_audience('womn')", "did you mean women"),
    ("in_list('nobody')", "angelia audience list"),
    ("", "TRUE means everyone"),
]


EVERYWHERE = [
    (command, *mistake)
    for command in ("explain", "breakdown", "overlap", "export", "save")
    for mistake in MISTAKES[:2]
]


@pytest.mark.parametrize(
    ("command", "text", "message"),
    [*(("count", *mistake) for mistake in MISTAKES), *EVERYWHERE],
    ids=lambda value: value[:20],
)
def test_mistakes_are_one_line_with_a_caret_and_write_nothing(
    people: People,
    lake: Lake,
    settings_home: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    command: str,
    text: str,
    message: str,
) -> None:
    rest = {
        "breakdown": ("--by", "gender"),
        "overlap": ("TRUE",),
        "export": (tmp_path / "out.csv",),
        "save": (),
    }.get(command, ())
    arguments = ("name", text) if command == "save" else (text,)
    before = sorted(path for path in settings_home.rglob("*") if path.is_file() and path.name != "catalog.db")
    code, out, err = run(capsys, command, *arguments, *rest)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "^" in err
    assert message in err
    assert (
        sorted(path for path in settings_home.rglob("*") if path.is_file() and path.name != "catalog.db")
        == before
    )
    assert not (tmp_path / "out.csv").exists()
    if command == "save":
        assert "name" not in run(capsys, "count", "name")[1]


def test_an_index_of_another_day_or_contract_is_refused(
    people: People, lake: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = run(capsys, "count", "TRUE", "--ds", "2026-11-15")
    assert (code, out) == (2, "")
    assert err == (
        "error: there is no audience index of 2026-11-15; the newest is of 2026-11-14; "
        "build_bitmaps --ds 2026-11-15 makes it\n"
    )
    assert run(capsys, "count", "TRUE", "--ds", "2026-13-15")[0] == 2
    commit = lake.require("bitmap_index", ds="2026-11-14")
    path = lake.store.local_path(commit.key)
    assert path is not None
    text = path.read_text()
    assert '"contract_version": 3' in text
    path.chmod(0o600)
    path.write_text(text.replace('"contract_version": 3', '"contract_version": 2'))
    code, _, err = run(capsys, "count", "TRUE")
    assert code == 2
    assert "has contract version 2, this code reads 3; run build_bitmaps --ds 2026-11-14 again" in err


def test_a_damaged_file_is_one_line(people: People, lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    entry = lake.require("bitmap_index", ds="2026-11-14").files[0]
    path = Path(lake.path_of(entry))
    data = path.read_bytes()
    path.chmod(0o600)
    for damaged in (data[:-100], b"", data[: len(data) // 2] + bytes(50) + data[len(data) // 2 + 50 :]):
        path.write_bytes(damaged)
        code, out, err = run(
            capsys,
            "count",
            "gender = 'f' AND age_years > 20 AND tag = 'spa' AND province = 'fujian' AND reachable('fcm')",
        )
        if len(damaged) < len(data):
            assert (code, out) == (2, "")
        assert err.count("\n") == (code == 2)


def test_a_count_imports_neither_pandas_nor_the_catalog(people: People, settings_home: Path) -> None:
    # Half a second of imports is more than the count itself takes.
    code = (
        "import sys; from angelia.audience.query import Audience; from angelia.lake import Lake\n"
        f"print(Audience(Lake.open({str(settings_home / 'lake')!r}), '2026-11-14').count(\"gender "
        f"= 'f' OR sum_events('purchase', 6) > 1\"))\n"
        "print([name for name in ('pandas', 'sqlalchemy', 'pyspark', 'duckdb', 'lightgbm') if "
        "name in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert int(out[0]) > 0
    assert out[1] == "[]"
