"""The import as a person uses it: small files, a mapping, the lake afterwards."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from angelia.commands.import_ import run_import
from angelia.config import load_settings
from angelia.contracts import ids
from angelia.contracts.sources import ID
from angelia.errors import InvalidInput
from angelia.lake import Lake

PEOPLE = "id,sex,born,country,since,tags\n"
PROFILES: dict[str, Any] = {
    "dataset": "user_profiles",
    "input": "people",
    "columns": {
        "user_id": {"template": "p{id}"},
        "gender": {"from": "sex", "map": {1: "f", 2: "m", 9: None}},
        "birth_year": {"from": "born"},
        "country": {"from": "country", "transform": ["trim", "upper"]},
        "signup_ts": {"from": "since", "timestamp": {"unit": "iso", "timezone": "Asia/Shanghai"}},
        "tags": {"list": [{"from": "tags", "transform": ["slug"]}, {"constant": "imported"}]},
    },
}
EVENTS: dict[str, Any] = {
    "dataset": "user_events",
    "input": "log",
    "columns": {
        "event_id": "eid",
        "user_id": "uid",
        "event_type": "what",
        "event_ts": {"from": "ms", "timestamp": {"unit": "ms"}},
    },
}
NOON = 1_651_924_800_000  # 2022-05-07 12:00 UTC
DAY = 86_400_000


def mapping(tmp_path: Path, *outputs: dict[str, Any], **top: Any) -> Path:
    path = tmp_path / "mapping.yaml"
    names = {output["input"] for output in outputs if "input" in output} | {
        j["input"] for o in outputs for j in o.get("join", [])
    }
    document = {
        "name": "test",
        "inputs": {name: f"{name}*" for name in names},
        "outputs": list(outputs),
        **top,
    }
    path.write_text(
        yaml.safe_dump(json.loads(json.dumps(document))),  # what two outputs share is written out, no alias
        "utf-8",
    )
    return path


def csv(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return path


def people(tmp_path: Path, *lines: str) -> Path:
    return csv(tmp_path, "people.csv", PEOPLE + "".join(line + "\n" for line in lines))


def events(tmp_path: Path, *lines: str) -> Path:
    return csv(tmp_path, "log.csv", "eid,uid,what,ms\n" + "".join(line + "\n" for line in lines))


@pytest.fixture(autouse=True)
def _home(settings_home: Path) -> None:
    """Every test here writes below its own home."""


def read(lake: Lake, name: str, **partition: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = lake.read(lake.require(name, **partition)).to_pylist()
    return rows


def test_columns_are_read_mapped_and_moved_to_utc(tmp_path: Path, lake: Lake) -> None:
    file = people(
        tmp_path, "7,1,1990, cn ,2022-05-01 07:30:00,Two Words!", "8,9,,DE,2022-05-01T00:00:00+02:00,"
    )
    run_import(load_settings(), mapping(tmp_path, PROFILES), [file], ds="2022-05-08")
    first, second = read(lake, "user_profiles", ds="2022-05-08")
    assert (first["user_id"], first["gender"], first["birth_year"], first["country"]) == (
        "p7",
        "f",
        1990,
        "CN",
    )
    assert first["signup_ts"] == datetime(2022, 4, 30, 23, 30, tzinfo=UTC)  # Shanghai is eight hours ahead
    assert first["tags"] == ["two_words", "imported"]
    assert second["gender"] is None
    assert second["birth_year"] is None
    assert second["signup_ts"] == datetime(2022, 4, 30, 22, 0, tzinfo=UTC)  # an offset in the text wins
    assert second["tags"] == ["imported"]


GOOD = [f"{n},1,1990,CN,2022-05-01,t" for n in range(1, 100)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("x y,1,1990,CN,2022-05-01,t", f"user_id: not matching {ID}"),
        (",1,1990,CN,2022-05-01,t", "user_id: null"),
        ("100,1,1990,CN,yesterday,t", "signup_ts: no moment in iso"),
        ("100,1,1990,CN,2022-05-01 10:00 Nowhere,t", "signup_ts: unknown zone"),
        ("100,1,1990,CN,9999-12-31,t", "signup_ts: moment out of range"),
        ("100,1,1990,CN,2022-05-10,t", "signup_ts: after the end of ds"),
        ("1,1,1990,CN,2022-05-01,t", "duplicate (user_id)"),
    ],
)
def test_a_bad_row_is_rejected_under_its_reason(tmp_path: Path, lake: Lake, line: str, reason: str) -> None:
    result = run_import(
        load_settings(), mapping(tmp_path, PROFILES), [people(tmp_path, *GOOD, line)], ds="2022-05-08"
    )
    assert result["outputs"][0]["rejected"] == {reason: 1}
    commit = lake.require("user_profiles", ds="2022-05-08")
    assert commit.rows == 99
    assert commit.rejects == {reason: 1}


ATTRIBUTES = [
    ("100,5,1990,CN,2022-05-01,t", "gender: value not in its map"),
    ("100,1,199O,CN,2022-05-01,t", "birth_year: not a whole number in range"),
    ("100,1,1990.5,CN,2022-05-01,t", "birth_year: not a whole number in range"),
    ("100,1,1800,CN,2022-05-01,t", "birth_year: outside 1900..2020"),
    ("100,1,1990,China,2022-05-01,t", "country: not matching ^[A-Z]{2}$"),
]


@pytest.mark.parametrize(("line", "reason"), ATTRIBUTES)
def test_no_person_is_lost_for_an_attribute(tmp_path: Path, lake: Lake, line: str, reason: str) -> None:
    result = run_import(
        load_settings(), mapping(tmp_path, PROFILES), [people(tmp_path, *GOOD, line)], ds="2022-05-08"
    )
    assert result["outputs"][0]["rejected"] == {}
    assert result["outputs"][0]["nulled"] == {reason: 1}
    (row,) = [row for row in read(lake, "user_profiles", ds="2022-05-08") if row["user_id"] == "p100"]
    assert row[reason.partition(":")[0]] is None


@pytest.mark.parametrize(("line", "reason"), ATTRIBUTES)
def test_a_mapping_may_reject_for_an_attribute(tmp_path: Path, lake: Lake, line: str, reason: str) -> None:
    name = reason.partition(":")[0]
    spec = PROFILES["columns"][name]
    output = {**PROFILES, "columns": {**PROFILES["columns"], name: {**spec, "invalid": "reject"}}}
    result = run_import(
        load_settings(), mapping(tmp_path, output), [people(tmp_path, *GOOD, line)], ds="2022-05-08"
    )
    assert result["outputs"][0]["rejected"] == {reason: 1}


def test_an_attribute_that_most_would_lose_is_refused(tmp_path: Path, lake: Lake) -> None:
    lines = [f"{n},1,{'MCMXC' if n < 3 else 1990},CN,2022-05-01,t" for n in range(20)]
    with pytest.raises(InvalidInput, match="3 of 20 people would lose their birth_year") as refused:
        run_import(load_settings(), mapping(tmp_path, PROFILES), [people(tmp_path, *lines)], ds="2022-05-08")
    assert "invalid: 'null'" in refused.value.one_line()
    assert not lake.partitions("user_profiles")
    spec = {"from": "born", "invalid": "null"}
    output = {**PROFILES, "columns": {**PROFILES["columns"], "birth_year": spec}}
    run_import(load_settings(), mapping(tmp_path, output), [people(tmp_path, *lines)], ds="2022-05-08")
    assert lake.require("user_profiles", ds="2022-05-08").rows == 20


def test_invalid_null_keeps_the_row_and_counts(tmp_path: Path, lake: Lake) -> None:
    output = {
        **PROFILES,
        "columns": {**PROFILES["columns"], "birth_year": {"from": "born", "invalid": "null"}},
    }
    file = people(tmp_path, "1,1,1800,CN,2022-05-01,t", "2,1,abc,CN,2022-05-01,t", "3,1,1990,CN,2022-05-01,t")
    result = run_import(load_settings(), mapping(tmp_path, output), [file], ds="2022-05-08")
    assert result["outputs"][0]["nulled"] == {
        "birth_year: not a whole number in range": 1,
        "birth_year: outside 1900..2020": 1,
    }
    assert [row["birth_year"] for row in read(lake, "user_profiles", ds="2022-05-08")] == [None, None, 1990]


def test_rows_go_to_their_day_and_later_ones_are_left_out(tmp_path: Path, lake: Lake) -> None:
    file = events(tmp_path, f"a,u,open,{NOON}", f"b,u,open,{NOON + DAY}", f"c,u,open,{NOON + 2 * DAY}")
    result = run_import(load_settings(), mapping(tmp_path, EVENTS), [file], ds="2022-05-08")
    assert lake.partitions("user_events") == [{"ds": "2022-05-07"}, {"ds": "2022-05-08"}]
    assert result["outputs"][0]["filtered"] == {"after --ds": 1}
    assert (
        run_import(load_settings(), mapping(tmp_path, EVENTS), [file], dry_run=True)["ds"] == "2022-05-09"
    )  # the data's own last day


def test_a_typo_year_defines_no_window(tmp_path: Path, lake: Lake) -> None:
    in_2062 = NOON + 40 * 366 * DAY
    file = events(tmp_path, f"a,u,open,{NOON}", f"b,u,open,{in_2062}")
    assert run_import(load_settings(), mapping(tmp_path, EVENTS), [file], dry_run=True)["ds"] == "2022-05-07"
    result = run_import(load_settings(), mapping(tmp_path, EVENTS, shift="to_ds"), [file], ds="2022-05-08")
    assert result["shift_days"] == 1
    assert result["outputs"][0]["filtered"] == {"after --ds": 1}


@pytest.mark.parametrize(
    "moment", ["-infinity", "infinity", "9999-12-31", "0001-01-01", "99999-01-01", "2200-01-01", "1899-12-31"]
)
def test_moments_out_of_range_are_rejected(tmp_path: Path, lake: Lake, moment: str) -> None:
    file = people(tmp_path, f"1,1,1990,CN,{moment},t", "2,1,1990,CN,2022-05-01,t")
    result = run_import(
        load_settings(), mapping(tmp_path, PROFILES), [file], ds="2022-05-08", max_reject_pct=60.0
    )
    assert sum(result["outputs"][0]["rejected"].values()) == 1
    assert [row["user_id"] for row in read(lake, "user_profiles", ds="2022-05-08")] == ["p2"]


def test_times_can_be_moved_to_end_at_ds(tmp_path: Path, lake: Lake) -> None:
    file = events(tmp_path, f"a,u,open,{NOON}", f"b,u,open,{NOON + DAY}")
    result = run_import(load_settings(), mapping(tmp_path, EVENTS, shift="to_ds"), [file], ds="2026-11-14")
    assert result["shift_days"] == 1651
    assert read(lake, "user_events", ds="2026-11-13")[0]["event_ts"] == datetime(2026, 11, 13, 12, tzinfo=UTC)


def test_message_ids_are_the_contracts_and_opens_conditional(tmp_path: Path, lake: Lake) -> None:
    output = {
        "dataset": "push_history",
        "input": "log",
        "join": [{"input": "videos", "keys": {"video": "vid"}}],
        "distinct": True,
        "columns": {
            "user_id": {"template": "k{uid}"},
            "campaign_id": {"constant": "daily"},
            "material_id": {
                "from": "videos.tag",
                "split": {"by": ","},
                "map": {"3": "cat_3"},
                "unmapped": {"value": "cat_other"},
                "default": "cat_other",
            },
            "channel": {"constant": "fcm"},
            "message_id": {"hash_id": ["campaign_id", "user_id", "v{video}", "ms"]},
            "sent_ts": {"from": "ms", "timestamp": {"unit": "ms"}},
            "opened_ts": {
                "from": "ms",
                "timestamp": {"unit": "ms"},
                "when": {"column": "click", "op": "eq", "value": 1},
            },
        },
    }
    log = csv(
        tmp_path, "log.csv", f"uid,video,ms,click\n1,9,{NOON},0\n1,9,{NOON},1\n1,8,{NOON},0\n1,7,{NOON},0\n"
    )
    videos = tmp_path / "videos.parquet"
    pq.write_table(pa.table({"vid": [9, 8], "tag": ["3,12", "5"]}), videos)
    result = run_import(load_settings(), mapping(tmp_path, output), [log, videos])
    rows = {row["message_id"]: row for row in read(lake, "push_history", ds="2022-05-07")}
    key = ids.message_id("daily", "k1", f"v9-{NOON}")
    assert rows[key]["opened_ts"] == rows[key]["sent_ts"]  # of two equal exposures the answered one is kept
    assert sorted(row["material_id"] for row in rows.values()) == ["cat_3", "cat_other", "cat_other"]
    assert result["outputs"][0]["filtered"] == {"duplicate": 1}
    assert {row["slot_propensity"] for row in rows.values()} == {None}


def test_filters_count_under_their_reason_and_are_no_rejects(tmp_path: Path, lake: Lake) -> None:
    keep = [
        {"column": "uid", "op": "not_null", "reason": "no customer"},
        {"column": "eid", "op": "not_starts_with", "value": "C", "reason": "cancelled"},
        {"column": "ms", "op": "gt", "value": NOON, "reason": "too old"},
    ]
    file = events(
        tmp_path,
        f"a,u,open,{NOON + 1}",
        f"b,,open,{NOON + 1}",
        f"C1,u,open,{NOON + 1}",
        f"d,u,open,{NOON}",
        f"C2,,open,{NOON}",
    )
    result = run_import(
        load_settings(), mapping(tmp_path, {**EVENTS, "filter": keep}), [file], max_reject_pct=0
    )
    assert result["outputs"][0]["filtered"] == {"no customer": 2, "cancelled": 1, "too old": 1}
    assert result["outputs"][0]["rejected"] == {}


def test_an_empty_output_commits_no_rows(tmp_path: Path, lake: Lake) -> None:
    file = events(tmp_path, f"a,u,open,{NOON}")
    run_import(
        load_settings(), mapping(tmp_path, EVENTS, {"dataset": "user_preferences", "empty": True}), [file]
    )
    assert lake.require("user_preferences", ds="2022-05-07").rows == 0


def test_the_same_files_again_add_no_commit(tmp_path: Path, lake: Lake) -> None:
    document, file = mapping(tmp_path, EVENTS), events(tmp_path, f"a,u,open,{NOON}", f"b,u,open,{NOON + DAY}")
    first = run_import(load_settings(), document, [file])
    again = run_import(load_settings(), document, [file])
    assert first["datasets"]["user_events"]["n_new_commits"] == 2
    assert again["datasets"]["user_events"]["n_new_commits"] == 0
    assert again["datasets"]["user_events"]["commits"] == first["datasets"]["user_events"]["commits"]


def test_suppressions_are_appended_once(tmp_path: Path, lake: Lake) -> None:
    output = {
        "dataset": "suppressions",
        "input": "people",
        "columns": {
            "entry_id": {"template": "s-{id}"},
            "user_id": {"template": "p{id}"},
            "since_ts": {"from": "since"},
            "reason": {"constant": "unsubscribed"},
        },
    }
    document = mapping(tmp_path, output)
    run_import(load_settings(), document, [people(tmp_path, "1,,,,2022-05-01,")], ds="2022-05-08")
    run_import(
        load_settings(), document, [people(tmp_path, "1,,,,2022-05-01,", "2,,,,2022-05-02,")], ds="2022-05-08"
    )
    assert lake.read_log("suppressions")["user_id"].to_pylist() == ["p1", "p2"]


def test_too_many_rejects_write_nothing_but_samples(tmp_path: Path, lake: Lake) -> None:
    secret = "someone@example.org has moved"
    file = people(tmp_path, f'"{secret}",1,1990,CN,2022-05-01,t', "2,1,1990,CN,2022-05-01,t")
    with pytest.raises(
        InvalidInput, match=r"1 of 2 rows rejected \(50.0 % > 5 %\), most for 'user_id: not matching"
    ) as refused:
        run_import(load_settings(), mapping(tmp_path, PROFILES), [file], ds="2022-05-08")
    assert lake.partitions("user_profiles") == []
    samples = Path(str(refused.value.fix).removeprefix("samples are in ")).read_text("utf-8")
    sample = json.loads(samples.splitlines()[0])
    assert (sample["file"], sample["row"], sample["values"]["country"]) == ("people.csv", 1, "CN")
    assert sample["values"]["id"].startswith("hash:")
    assert secret not in samples + str(refused.value)


def test_lines_that_are_no_rows_are_counted_not_fatal(tmp_path: Path, lake: Lake) -> None:
    lines = [f"e{n},u,open,{NOON}" for n in range(60)]
    result = run_import(
        load_settings(), mapping(tmp_path, EVENTS), [events(tmp_path, *lines, "broken,line,with,too,many")]
    )
    assert result["outputs"][0]["rejected"] == {"line is no CSV row": 1}
    assert result["outputs"][0]["read"] == 61
    assert lake.require("user_events", ds="2022-05-07").rejects == {"line is no CSV row": 1}


@pytest.mark.parametrize(
    "name", ["a'; DROP TABLE x; --", 'quo"te', "back\\slash", "sp ace", "{brace", "$p0", "select"]
)
def test_names_and_values_are_data_never_sql(tmp_path: Path, lake: Lake, name: str) -> None:
    """Any column name, constant and map value comes through as it is."""
    file = tmp_path / "people.parquet"
    pq.write_table(pa.table({"id": ["1"], name: [name]}), file)
    columns = {
        "user_id": "id",
        "province": {"from": name, "map": {name: name}},
        "device_vendor": {"constant": name},
    }
    run_import(
        load_settings(),
        mapping(tmp_path, {"dataset": "user_profiles", "input": "people", "columns": columns}),
        [file],
        ds="2022-05-08",
    )
    (row,) = read(lake, "user_profiles", ds="2022-05-08")
    assert (row["province"], row["device_vendor"]) == (name, name)


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    document, good = mapping(tmp_path, EVENTS), events(tmp_path, f"a,u,open,{NOON}")
    damaged = csv(tmp_path, "log2.parquet", "PAR1 and then nothing")
    other = csv(tmp_path, "log3.csv", "eid,uid,kind,ms\n")
    for files, message in (
        ([tmp_path / "log_missing.csv"], "is no file"),
        ([csv(tmp_path, "else.csv", "a\n")], "belongs to no input"),
        ([good, damaged], "log2.parquet cannot be read as Parquet"),
        ([good, other], "has other columns than"),
        ([csv(tmp_path, "log.xlsx", "")], "neither .csv nor .parquet"),
        ([csv(tmp_path, "log[1].csv", "a\n")], r"holds one of \* "),
        ([], "no file for input"),
    ):
        with pytest.raises(InvalidInput, match=message):
            run_import(load_settings(), document, files)


def test_all_rows_filtered_is_refused(tmp_path: Path, lake: Lake) -> None:
    keep = [{"column": "uid", "op": "eq", "value": "nobody", "reason": "other"}]
    with pytest.raises(InvalidInput, match="none of 1 rows is left"):
        run_import(
            load_settings(),
            mapping(tmp_path, {**EVENTS, "filter": keep}),
            [events(tmp_path, f"a,u,open,{NOON}")],
            ds="2022-05-08",
        )


def test_receipts_carry_source_and_part(tmp_path: Path, lake: Lake) -> None:
    log = csv(tmp_path, "log.csv", f"rid,uid,ms\nr1,u1,{NOON}\n")
    at = {"from": "ms", "timestamp": {"unit": "ms"}}
    columns = {
        "receipt_id": "rid", "user_id": "uid", "campaign_id": {"constant": "daily"},
        "material_id": {"constant": "plain"},
        "channel": {"constant": "fcm"},
        "message_id": {"hash_id": ["campaign_id", "user_id", "ms"]},
        "dispatch_id": {"hash_id": ["message_id", "channel", "{uid}-token"]},
        "kind": {"constant": "opened"}, "receipt_ts": at, "sent_ts": at,
    }  # fmt: skip
    output = {
        "dataset": "push_receipts",
        "input": "log",
        "partition": {"day_of": "sent_ts", "minus_days": 1},
        "columns": columns,
    }
    run_import(load_settings(), mapping(tmp_path, output), [log])
    (row,) = read(lake, "push_receipts", ds="2022-05-06", source="import", part="test")
    message = ids.message_id("daily", "u1", str(NOON))
    assert (row["message_id"], row["dispatch_id"]) == (message, ids.dispatch_id(message, "fcm", "u1-token"))


def test_distinct_keeps_the_earliest(tmp_path: Path, lake: Lake) -> None:
    columns = {"user_id": "id", "signup_ts": "since"}
    file = people(tmp_path, "1,,,,2022-05-03,", "1,,,,2022-05-01,", "1,,,,2022-05-02,")
    output = {"dataset": "user_profiles", "input": "people", "distinct": True, "columns": columns}
    run_import(load_settings(), mapping(tmp_path, output), [file], ds="2022-05-08")
    (row,) = read(lake, "user_profiles", ds="2022-05-08")
    assert row["signup_ts"] == datetime(2022, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("unit", "text", "expected"),
    [
        ("s", "1651924800", "2022-05-07 12:00:00"),
        ("s", "1651924800.25", "2022-05-07 12:00:00.250000"),
        ("ms", "1651924800001", "2022-05-07 12:00:00.001000"),
        ("us", "1651924800000001", "2022-05-07 12:00:00.000001"),
        ("iso", "2022-05-07 20:00:00", "2022-05-07 12:00:00"),
        ("iso", "2022-05-07T12:00:00Z", "2022-05-07 12:00:00"),
        ("iso", "2022-05-07", "2022-05-06 16:00:00"),
        ("days_before_ds", "3", "2022-05-05 00:00:00"),
    ],
)
def test_units_of_time(tmp_path: Path, lake: Lake, unit: str, text: str, expected: str) -> None:
    columns = {"user_id": "id", "signup_ts": {"from": "since", "timestamp": {"unit": unit}}}
    output = {"dataset": "user_profiles", "input": "people", "columns": columns}
    document = mapping(tmp_path, output, timezone="Asia/Shanghai")
    run_import(load_settings(), document, [people(tmp_path, f"1,,,,{text},")], ds="2022-05-08")
    (row,) = read(lake, "user_profiles", ds="2022-05-08")
    assert row["signup_ts"] == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_big_whole_numbers_stay_exact(tmp_path: Path, lake: Lake) -> None:
    """A double would turn 9007199254740993 into ...992 and two people into one."""
    file = tmp_path / "people.parquet"
    pq.write_table(pa.table({"id": pa.array([9007199254740993, 9007199254740992], pa.int64())}), file)
    output = {
        "dataset": "user_profiles",
        "input": "people",
        "columns": {"user_id": {"from": "id", "type": "int"}},
    }
    run_import(load_settings(), mapping(tmp_path, output), [file], ds="2022-05-08")
    assert [row["user_id"] for row in read(lake, "user_profiles", ds="2022-05-08")] == [
        "9007199254740992",
        "9007199254740993",
    ]


def test_connection_errors_never_quote_rows(tmp_path: Path) -> None:
    bad = [{"column": "uid", "op": "matches", "value": "(", "reason": "other"}]
    with pytest.raises(InvalidInput, match="mapping cannot be run") as refused:
        run_import(
            load_settings(),
            mapping(tmp_path, {**EVENTS, "filter": bad}),
            [events(tmp_path, f"a,private-person,open,{NOON}")],
        )
    assert "private-person" not in refused.value.one_line()


def test_the_worked_example_of_the_document_is_true(tmp_path: Path, lake: Lake) -> None:
    """docs/IMPORT.md: its files, its mapping, its numbers."""
    text = (Path(__file__).parents[3] / "docs" / "IMPORT.md").read_text("utf-8")
    document = csv(tmp_path, "shop.yaml", text.split("```yaml\n")[1].split("```")[0])
    files = text.split("`customers.csv` and `orders.csv`:\n\n```\n")[1].split("```")[0].splitlines()
    left, right = zip(*(line.split(maxsplit=0)[0].rsplit("  ", 1) for line in files), strict=True)
    customers = csv(tmp_path, "customers.csv", "".join(line.strip() + "\n" for line in left))
    orders = csv(tmp_path, "orders.csv", "".join(line.strip() + "\n" for line in right))
    result = run_import(load_settings(), document, [customers, orders], ds="2026-11-14")
    assert [output["rows"] for output in result["outputs"]] == [2, 2, 0, 1]
    assert result["outputs"][3]["filtered"] == {"cancellation": 1}
    assert [row["country"] for row in read(lake, "user_profiles", ds="2026-11-14")] == ["DE", "AT"]
    (event,) = read(lake, "user_events", ds="2026-11-13")
    assert (event["item"], event["value"], event["event_ts"]) == (
        "i_red_mug",
        9.5,
        datetime(2026, 11, 13, 17, 2, 11, tzinfo=UTC),
    )
