"""Mapping files: each mistake is one line, with where it stands and what was meant."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from angelia.cli import main
from angelia.errors import InvalidInput
from angelia.importing.loading import load_mapping
from angelia.lake import Lake

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"

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


@pytest.fixture(autouse=True)
def _home(settings_home: Path) -> None:
    """Every test here writes below its own home."""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"columns": {**EVENTS["columns"], "event_id": "eidd"}},
            r"has no column 'eidd'; column 1 of 4 comes nearest",
        ),
        (
            {"columns": {**EVENTS["columns"], "event_idd": "eid"}},
            r"has no column 'event_idd'; did you mean 'event_id'\?",
        ),
        ({"columns": {"event_id": "eid"}}, "needs a value for user_id, event_type, event_ts"),
        ({"dataset": "user_event"}, r"cannot be imported; did you mean 'user_events'\?"),
        ({"colums": {}}, r"outputs.0.colums: unknown key; did you mean 'columns'\?"),
        ({"columns": {**EVENTS["columns"], "item": {"from": "uid", "constant": "x"}}}, "give exactly one of"),
        ({"columns": {**EVENTS["columns"], "item": {"template": "{uid!r}"}}}, "only plain"),
        ({"columns": {**EVENTS["columns"], "item": {"form": "uid"}}}, r"unknown key; did you mean 'from'\?"),
        (
            {"columns": {**EVENTS["columns"], "value": {"from": "uid", "timestamp": {"unit": "ms"}}}},
            "takes no timestamp rule",
        ),
        (
            {
                "columns": {
                    **EVENTS["columns"],
                    "event_ts": {"from": "ms", "timestamp": {"unit": "ms", "timezone": "Mars/Base"}},
                }
            },
            "not an IANA timezone",
        ),
        ({"filter": [{"column": "ms", "op": "gt", "value": "ten"}]}, "gt compares numbers"),
        (
            {"filter": [{"column": "uidd", "op": "not_null"}]},
            r"no column 'uidd'; column 2 of 4 comes nearest",
        ),
        ({"input": "nowhere"}, "no input 'nowhere'"),
        ({"partition": {"day_of": "user_id"}}, "is no timestamp"),
    ],
)
def test_a_wrong_mapping_is_one_line_and_writes_nothing(
    tmp_path: Path, lake: Lake, capsys: pytest.CaptureFixture[str], change: dict[str, Any], message: str
) -> None:
    document, log = tmp_path / "mapping.yaml", tmp_path / "log.csv"
    document.write_text(
        yaml.safe_dump({"name": "test", "inputs": {"log": "log*"}, "outputs": [{**EVENTS, **change}]}),
        "utf-8",
    )
    log.write_text("eid,uid,what,ms\na,u,open,1651924800000\n", "utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["import", "--mapping", str(document), str(log)])
    assert ended.value.code == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("reading ")]
    assert len(errors) == 1
    assert re.search(message, errors[0])
    assert lake.partitions("user_events") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "line"),
        ("- a list", "no mapping document"),
        ("name: test\nname: test\n", "given twice"),
        ("name: &a [x, x]\ninputs: [*a, *a]\n", r"mapping.yaml line 2: aliases \(\*name\) are not accepted"),
        ("name: " + "[" * 2_000, "line 1: nested too deeply"),
        ("name: 2026-13-45\n", "a date or number in it is not valid"),
        ("name: Test\ninputs: {a: a}\noutputs: [{dataset: user_events, input: a}]", "name"),
    ],
)
def test_a_file_that_is_no_mapping(tmp_path: Path, text: str, message: str) -> None:
    document = tmp_path / "mapping.yaml"
    document.write_text(text, "utf-8")
    with pytest.raises(InvalidInput, match=message):
        load_mapping(document)


@pytest.mark.parametrize("name", ["kuairand", "online_retail"])
def test_the_examples_are_mappings(name: str) -> None:
    assert load_mapping(EXAMPLES / name / "mapping.yaml").outputs


def test_a_mapping_in_another_encoding_is_told_which(tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_bytes("name: m\ndescription: Köln\n".encode("cp1252"))
    with pytest.raises(InvalidInput, match="line 2 is not UTF-8 text, it reads as windows-1252"):
        load_mapping(path)
