"""The import as a person uses it: small files, a mapping, the lake afterwards."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from angelia.cli import main
from angelia.commands.import_ import run_import
from angelia.config import load_settings
from angelia.contracts import ids
from angelia.errors import InvalidInput
from angelia.lake import Lake
from tests.unit.importing.kafka.topics import DOCUMENT
from tests.unit.importing.small_files import DAY, EVENTS, NOON, PROFILES, csv, events, mapping, people, read

pytestmark = pytest.mark.usefixtures("settings_home")  # each test writes below its own home


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


def test_rows_go_to_their_day_and_later_ones_are_left_out(tmp_path: Path, lake: Lake) -> None:
    file = events(tmp_path, f"a,u,open,{NOON}", f"b,u,open,{NOON + DAY}", f"c,u,open,{NOON + 2 * DAY}")
    result = run_import(load_settings(), mapping(tmp_path, EVENTS), [file], ds="2022-05-08")
    assert lake.partitions("user_events") == [{"ds": "2022-05-07"}, {"ds": "2022-05-08"}]
    assert result["outputs"][0]["filtered"] == {"after --ds": 1}
    assert (
        run_import(load_settings(), mapping(tmp_path, EVENTS), [file], dry_run=True)["ds"] == "2022-05-09"
    )  # the data's own last day


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


def test_ids_of_another_system_are_a_snapshot(tmp_path: Path, lake: Lake) -> None:
    columns = {
        "namespace": {"constant": "crm"},
        "external_id": {"template": "K-{id}"},
        "user_id": {"template": "p{id}"},
        "linked_ts": {"from": "since"},
    }
    document = mapping(tmp_path, {"dataset": "external_ids", "input": "people", "columns": columns})
    run_import(load_settings(), document, [people(tmp_path, "1,,,,2022-05-01,")], ds="2022-05-08")
    (row,) = read(lake, "external_ids", ds="2022-05-08")
    assert (row["namespace"], row["external_id"], row["user_id"]) == ("crm", "K-1", "p1")


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
        ([tmp_path / "log_missing.csv"], "is not a file"),
        ([csv(tmp_path, "else.csv", "a\n")], "belongs to no input"),
        ([good, damaged], "log2.parquet cannot be read as Parquet"),
        ([good, other], "has other columns than"),
        ([csv(tmp_path, "log.xlsx", "")], "neither .csv nor .parquet"),
        ([csv(tmp_path, "log[1].csv", "a\n")], r"holds one of \* "),
        ([], "no file for input"),
    ):
        with pytest.raises(InvalidInput, match=message):
            run_import(load_settings(), document, files)


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


def test_a_topic_takes_no_files_and_files_need_a_mapping(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "topic.yaml"
    document.write_text(yaml.safe_dump(DOCUMENT), "utf-8")
    files = mapping(tmp_path, PROFILES)
    for words, says in (
        ([str(people(tmp_path)), "--mapping", str(document)], "the mapping reads a topic"),
        (["--mapping", str(document), "--ds", "2026-11-28"], "the mapping reads a topic"),
        (["--mapping", str(files)], "the mapping reads files"),
        ([str(people(tmp_path))], "no mapping is given"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["import", *words])
        assert ended.value.code == 2
        assert says in capsys.readouterr().err


def test_without_a_topic_a_scheduler_has_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["import", "--events", "--json"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out) == {"topic": None}
