"""Rows that an import leaves out: each under its reason, none silently, none quoted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from angelia.catalog.apply import carry_out, plan
from angelia.catalog.snapshot import write_snapshot
from angelia.catalog.store import CatalogStore
from angelia.commands.import_ import run_import
from angelia.config import load_settings
from angelia.contracts.sources import ID
from angelia.errors import InvalidInput
from angelia.lake import Lake
from tests.unit.importing.small_files import EVENTS, NOON, PROFILES, csv, events, mapping, people, read

pytestmark = pytest.mark.usefixtures("settings_home")  # each test writes below its own home

DS = "2022-05-08"
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


REFUSALS: list[tuple[str, dict[str, Any]]] = [
    (
        "suppressions",
        {
            "entry_id": {"template": "s{born}"},
            "user_id": {"template": "p{id}"},
            "since_ts": "since",
            "reason": {"constant": "unsubscribed"},
        },
    ),
    (
        "user_preferences",
        {
            "user_id": {"template": "p{id}"},
            "kind": {"constant": "topic"},
            "name": {"constant": "promo"},
            "is_opted_in": {"constant": False},
            "updated_ts": "since",
        },
    ),
]


@pytest.mark.parametrize(("dataset", "columns"), REFUSALS)
def test_no_refusal_is_lost_unasked(
    tmp_path: Path, lake: Lake, dataset: str, columns: dict[str, Any]
) -> None:
    lines = [f"{n},,{n},,2022-05-01," for n in range(99)]
    file = people(tmp_path, *lines, "9 9,,100,,2022-05-01,")
    document = mapping(tmp_path, {"dataset": dataset, "input": "people", "columns": columns})
    with pytest.raises(InvalidInput, match="1 of 100 rows rejected") as refused:
        run_import(load_settings(), document, [file], ds="2022-05-08")
    assert "--max-reject-pct says how many refusals may be lost" in refused.value.one_line()
    assert not lake.partitions(dataset)
    run_import(load_settings(), document, [file], ds="2022-05-08", max_reject_pct=1.0)
    assert lake.partitions(dataset)


def test_words_that_nobody_will_heed_are_counted(tmp_path: Path, lake: Lake) -> None:
    lines = ["u1,topic,promo", "u2,topic,newsletter", "u3,topic,promos", "u4,channel,fcm", "u5,channel,push"]
    words = csv(tmp_path, "words.csv", "id,kind,name\n" + "".join(line + "\n" for line in lines))
    preferences = {"user_id": "id", "kind": "kind", "name": "name"}
    updated, no = {"constant": "2022-05-01"}, {"constant": False}
    device = {"user_id": "id", "channel": {"from": "kind", "map": {"topic": "push", "channel": "fcm"}}}
    address = {"template": "sandbox-0123456789-{id}"}
    document = mapping(
        tmp_path,
        {
            "dataset": "user_preferences",
            "input": "words",
            "columns": {**preferences, "is_opted_in": no, "updated_ts": updated},
        },
        {
            "dataset": "user_endpoints",
            "input": "words",
            "columns": {
                **device,
                "address": address,
                "is_active": {"constant": True},
                "registered_ts": updated,
            },
        },
    )
    assert run_import(load_settings(), document, [words], ds=DS, dry_run=True)["warnings"] == []
    store = CatalogStore.open(load_settings().catalog_url())
    made = plan(store, [Path(__file__).parents[3] / "campaigns"])
    carry_out(store, made, actor="ada", at=datetime.now(UTC))
    write_snapshot(lake, store, DS)
    warnings = run_import(load_settings(), document, [words], ds=DS)["warnings"]
    assert [warning.partition(" that the catalog")[0] for warning in warnings] == [
        "user_preferences: 2 rows name a topic",
        "user_preferences: 1 rows name a channel",
        "user_endpoints: 3 rows name a channel",
    ]
    assert "promo" in warnings[0].partition("it has ")[2]
    assert "newsletter" not in "".join(warnings), "it may be anything that stood in the column"


def test_lines_that_are_no_rows_are_counted_not_fatal(tmp_path: Path, lake: Lake) -> None:
    lines = [f"e{n},u,open,{NOON}" for n in range(60)]
    result = run_import(
        load_settings(), mapping(tmp_path, EVENTS), [events(tmp_path, *lines, "broken,line,with,too,many")]
    )
    assert result["outputs"][0]["rejected"] == {"line is no CSV row": 1}
    assert result["outputs"][0]["read"] == 61
    assert lake.require("user_events", ds="2022-05-07").rejects == {"line is no CSV row": 1}


def test_a_day_that_no_night_has_rejects_its_rows(tmp_path: Path, lake: Lake) -> None:
    by_iso = {**EVENTS["columns"], "event_ts": "ms"}
    with pytest.raises(InvalidInput, match="event_ts: before 2000-01-01"):
        run_import(
            load_settings(),
            mapping(tmp_path, {**EVENTS, "columns": by_iso}),
            [events(tmp_path, "a,u,open,1999-12-31 23:59:59", "b,u,open,2000-01-01")],
            ds="2022-05-08",
        )
    assert not lake.partitions("user_events")


def test_all_rows_filtered_is_refused(tmp_path: Path, lake: Lake) -> None:
    keep = [{"column": "uid", "op": "eq", "value": "nobody", "reason": "other"}]
    with pytest.raises(InvalidInput, match="none of 1 rows is left"):
        run_import(
            load_settings(),
            mapping(tmp_path, {**EVENTS, "filter": keep}),
            [events(tmp_path, f"a,u,open,{NOON}")],
            ds="2022-05-08",
        )


def test_connection_errors_never_quote_rows(tmp_path: Path) -> None:
    bad = [{"column": "uid", "op": "matches", "value": "(", "reason": "other"}]
    with pytest.raises(InvalidInput, match="mapping cannot be run") as refused:
        run_import(
            load_settings(),
            mapping(tmp_path, {**EVENTS, "filter": bad}),
            [events(tmp_path, f"a,private-person,open,{NOON}")],
        )
    assert "private-person" not in refused.value.one_line()
