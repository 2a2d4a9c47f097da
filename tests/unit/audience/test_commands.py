"""`angelia audience …` as an operator types it: output, exit codes, harmless mistakes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from angelia.contracts import arrow, dataset
from angelia.contracts.ids import uniform, user_keys
from angelia.lake import Lake
from tests.unit.audience.typed import People, asked, run


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


def test_count_names_a_condition_that_is_never_true(
    people: People, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "gender = 'f' AND days_since('open') > 30"
    (hint,) = asked(capsys, "count", text)["hints"]  # type: ignore[misc]
    assert hint == (
        "note: nobody can match days_since('open') > 30: the index covers 6 days, so the event is 0 to 5 "
        "days ago; people without it match days_since('open') IS NULL"
    )
    code, out, _ = run(capsys, "count", text)
    assert code == 0
    assert out.startswith("0 match")
    assert str(hint) in out


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
        "import sys; from angelia.audience.query import AudienceQuery; from angelia.lake import Lake\n"
        f"print(AudienceQuery(Lake.open({str(settings_home / 'lake')!r}), '2026-11-14').count(\"gender "
        f"= 'f' OR sum_events('purchase', 6) > 1\"))\n"
        "print([name for name in ('pandas', 'sqlalchemy', 'pyspark', 'duckdb', 'lightgbm') if "
        "name in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert int(out[0]) > 0
    assert out[1] == "[]"
