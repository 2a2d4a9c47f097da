"""Structured logs and textfiles: one line a step with its rows, and nobody's id in it."""

import json
import os
import subprocess
import sys

import pyarrow as pa
import pytest
import typer

from angelia import logs
from angelia.contracts import arrow, dataset
from angelia.errors import InvalidInput
from angelia.lake import Lake


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ANGELIA_HOME", str(tmp_path))
    monkeypatch.delenv("ANGELIA_LOG", raising=False)
    logs._key.cache_clear()
    yield tmp_path
    logs._key.cache_clear()


def lines(home):
    return [json.loads(line) for line in (home / "logs" / "angelia.jsonl").read_text().splitlines()]


def publish(lake, rejects, inputs=()):
    contract = dataset("user_index")
    with lake.attempt("user_index", chain="0") as attempt:
        row = {column.name: [None] for column in contract.columns} | {"user_id": ["u1"], "ordinal": [0]}
        attempt.write(pa.table(row, schema=arrow.schema(contract)), "part-0000.parquet")
        return attempt.publish(rejects=rejects, inputs=inputs)


def test_a_step_leaves_one_line_with_its_rows_by_reason(home):
    lake = Lake.open(str(home / "lake"))
    before = publish(lake, {})
    with logs.step("index_users", ["--ds", "2026-11-14", "--branch=main"]):
        publish(lake, {"invalid_id": 3}, inputs=[before])
        publish(lake, {"invalid_id": 1}, inputs=[before.citation()])
    (line,) = lines(home)
    assert (line["event"], line["step"], line["ds"], line["result"]) == (
        "step",
        "index_users",
        "2026-11-14",
        "ok",
    )
    assert line["rows_in"] == {"user_index": 1}  # the same input, named twice, went in once
    assert line["rows_out"] == {"user_index": 2}
    assert line["rejected"] == {"invalid_id": 4}


def test_a_step_within_a_step_is_part_of_it(home):
    with logs.step("bootstrap"), logs.step("train"):
        pass
    assert [line["step"] for line in lines(home)] == ["bootstrap"]


def test_a_failed_step_says_its_error_and_a_crash_its_kind(home):
    with pytest.raises(InvalidInput), logs.step("plan guard"):
        raise InvalidInput("no such day", fix="name another")
    with pytest.raises(ValueError, match="anna"), logs.step("plan guard"):
        raise ValueError("anna@example.org")
    first, second = lines(home)
    assert (first["result"], first["error"]) == ("error", "no such day; name another")
    assert (second["result"], second["error"]) == ("crash", "ValueError")


def test_an_error_in_a_log_holds_no_address(home):
    message = "user_profiles/ds=2026-11-14@3: cannot write to anna@mail.example or +49 171 2345678"
    with pytest.raises(InvalidInput), logs.step("import"):
        raise InvalidInput(message)
    assert lines(home)[-1]["error"] == "user_profiles/ds=2026-11-14@3: cannot write to … or …"


@pytest.mark.parametrize("words", [["--user", "u-canary-17"], ["--user=u-canary-17"]])
def test_an_error_line_names_a_person_by_their_hash(home, words):
    with pytest.raises(InvalidInput), logs.step("lake erase", words):
        raise InvalidInput("nobody is called u-canary-17", fix="look for u-canary-17 elsewhere")
    (line,) = lines(home)
    name = logs.hashed("u-canary-17")
    assert line["error"] == f"nobody is called {name}; look for {name} elsewhere"


def test_the_metrics_textfile_is_left_alone_by_a_replay(home):
    with logs.step("build_features", ["--ds", "2026-11-14"]):
        logs.published("user_features", 10, {"timezone_null": 2}, [("user_days/x@1", "user_days", 12)])
    with (
        pytest.raises(InvalidInput),
        logs.step("build_features", ["--ds", "2026-11-14", "--branch", "replay-x"]),
    ):
        raise InvalidInput("a replay fails alone")
    text = (home / "metrics" / "angelia_build_features.prom").read_text()
    assert 'angelia_step_ok{step="build_features"} 1' in text
    assert 'angelia_step_rows_in{step="build_features",dataset="user_days"} 12' in text
    assert 'angelia_step_rows_out{step="build_features",dataset="user_features"} 10' in text
    assert 'angelia_step_rejected_rows{step="build_features",reason="timezone_null"} 2' in text
    assert 'angelia_step_day_timestamp_seconds{step="build_features"} 1794614400' in text


def test_each_gate_has_a_textfile_of_its_own(home):
    for gate, broken in (("sources", 3), ("features", 0), ("u-canary-17", 0)):
        with logs.step("quality check", ["--ds", "2026-11-14", "--gate", gate]):
            logs.took((), broken_by={"user_events.user_id": broken} if broken else {})
    files = sorted(path.name for path in (home / "metrics").glob("*.prom"))
    assert files == [f"angelia_quality_check{name}.prom" for name in ("", "_features", "_sources")]
    text = (home / "metrics" / files[2]).read_text()
    which = 'step="quality check",gate="sources"'
    assert f'angelia_step_broken_rows{{{which},check="user_events.user_id"}} 3' in text
    assert "canary" not in (home / "metrics" / files[0]).read_text()


def test_people_are_named_by_a_hash_of_this_home(home, tmp_path_factory, monkeypatch):
    name = logs.hashed("u00000017")
    assert name == logs.hashed("u00000017") != logs.hashed("u00000018")
    assert (home / "logs" / "key").stat().st_mode & 0o077 == 0
    monkeypatch.setenv("ANGELIA_HOME", str(tmp_path_factory.mktemp("other")))
    logs._key.cache_clear()
    assert logs.hashed("u00000017") != name


def test_commands_log_themselves_and_hide_the_person(home):
    done = subprocess.run(
        [sys.executable, "-m", "angelia.cli", "lake", "erase", "--user", "u-canary-17", "--ds", "2026-11-14"],
        env={**os.environ, "AIRFLOW_CTX_DAG_ID": "by_hand"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    (line,) = lines(home)
    assert (line["step"], line["result"]) == ("lake erase", "error")
    assert line["airflow"] == {"dag": "by_hand"}
    assert "canary" not in json.dumps(line)


def test_a_command_that_only_looked_leaves_nothing(home):
    with logs.step("plan show", always=False):
        pass
    assert list(home.iterdir()) == []


def test_a_crash_leaves_its_line_whoever_asked(home):
    """One line, and no textfile: no success on demand would end the alert on that."""
    with pytest.raises(ZeroDivisionError), logs.step("why", ["why", "--user", "u-canary-17"], always=False):
        raise ZeroDivisionError("u-canary-17")
    (line,) = lines(home)
    assert (line["step"], line["result"], line["error"]) == ("why", "crash", "ZeroDivisionError")
    assert "canary" not in json.dumps(line)
    assert not (home / "metrics").exists()


@pytest.mark.parametrize("end", [InvalidInput("no"), KeyboardInterrupt(), SystemExit(1), typer.Exit(3)])
def test_what_is_no_crash_leaves_nothing_on_demand(home, end):
    with pytest.raises(type(end)), logs.step("why", always=False):
        raise end
    assert list(home.iterdir()) == []


def test_a_command_in_an_empty_place_makes_no_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ANGELIA_HOME", str(tmp_path / "nothing"))
    logs.event("looked")
    assert not (tmp_path / "nothing").exists()


def test_where_lines_go_is_a_setting(home, monkeypatch, capsys):
    monkeypatch.setenv("ANGELIA_LOG", "-")
    logs.event("breaker", channel="fcm")
    monkeypatch.setenv("ANGELIA_LOG", "off")
    logs.event("breaker", channel="apns")
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["channel"] for line in lines] == ["fcm"]
    assert not (home / "logs").exists()
