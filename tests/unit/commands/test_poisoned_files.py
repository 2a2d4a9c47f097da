"""No command shows what stands in a file that it cannot read.

An address goes into files, never into outputs.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from angelia.cli import main
from angelia.contracts.rows import valid_rows
from angelia.lake import Lake

WORD = "leakmarker"  # no other text of the tests holds it
ADDRESS = f"{WORD}@mail.example"
CSV = {
    "no_header": f"{ADDRESS},g,{ADDRESS},1\nb,g,c,2\n",
    "one_column": f"{ADDRESS}\n{ADDRESS}\n",
    "header_twice": f"{ADDRESS},{ADDRESS},user_id,user_id\n1,2,3,4\n",
    "near_header": "user_id_leakmarker,emaik_leakmarker\n1,2\n",
    "ragged_long": f"user_id,email,at\nu1,x@y.example,5\nu2,{ADDRESS},{ADDRESS},{ADDRESS},6\n",
    "ragged_short": f"user_id,email,at\n{ADDRESS}\n",
    "wrong_type": f"user_id,email,at\nu1,x@y.example,{ADDRESS}\n",
    "in_other_column": f"user_id,email,at\n{ADDRESS},{ADDRESS} {ADDRESS},{ADDRESS}\n",
    "open_quote": f'user_id,email,at\nu1,"{ADDRESS},5\nu2,{ADDRESS},6\n',
    "stray_quote": f'user_id,email,at\nu1,"{ADDRESS}" {WORD}",5\n',
    "bytes_zero": f"user_id,email,at\nu1,{ADDRESS}\0{ADDRESS},5\n",
    "only_header": f"{ADDRESS}\n",
    "empty": "",
}
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252")


def csv_files(folder: Path) -> list[Path]:
    paths = []
    for name, text in CSV.items():
        for encoding in ENCODINGS if name in ("no_header", "wrong_type", "ragged_long") else ("utf-8",):
            path = folder / f"people_{name}_{encoding}.csv"
            path.write_bytes(text.replace("u1", "ü1" if encoding == "cp1252" else "u1").encode(encoding))
            paths.append(path)
    packed = folder / "people_cut.csv.gz"
    packed.write_bytes(gzip.compress(CSV["wrong_type"].encode() * 999)[:-20])
    return [*paths, packed]


def parquet_files(folder: Path) -> list[Path]:
    tables = {
        "header": pa.table({ADDRESS: [ADDRESS], "email": [ADDRESS]}),
        "wrong_type": pa.table({"user_id": [ADDRESS], "email": [ADDRESS], "at": [ADDRESS]}),
        "list": pa.table({"user_id": [[ADDRESS]], "email": [[ADDRESS]], "at": [[ADDRESS]]}),
        "struct": pa.table({"user_id": [{ADDRESS: ADDRESS}], "email": ["x"], "at": [{ADDRESS: 1}]}),
        "binary": pa.table({"user_id": [ADDRESS.encode() + b"\xff"], "email": [b"\xff"], "at": [b"\xff"]}),
        "blank": pa.table({"user_id": pa.array([], pa.int8()), "email": [], "at": []}),
    }
    paths = []
    for name, table in tables.items():
        path = folder / f"people_{name}.parquet"
        pq.write_table(table, path, compression="none")
        paths.append(path)
    whole = (folder / "people_wrong_type.parquet").read_bytes()
    for name, data in (
        ("cut", whole[:-30]),
        ("text", CSV["no_header"].encode()),
        ("half", whole[: len(whole) // 2]),
    ):
        paths.append(folder / f"people_{name}.parquet")
        paths[-1].write_bytes(data)
    return paths


YAML = {
    "unknown_key": f"{ADDRESS}: 1\n",
    "value": f'name: "{ADDRESS}"\ntimezone: "{ADDRESS}"\nkind: "{ADDRESS}"\nid: "{ADDRESS}"\n',
    "twice": f'"{ADDRESS}": 1\n"{ADDRESS}": 2\n',
    "tag": f"a: !{WORD} {ADDRESS}\n",
    "alias": f"a: *{WORD}\n",
    "anchor": f"a: &{WORD} 1\nb: &{WORD} 2\n",
    "directive": f"%{WORD} {ADDRESS}\n---\na: 1\n",
    "open_quote": f'a: "{ADDRESS}\n',
    "bad_indent": f"a: 1\n  {ADDRESS}: 2\n {ADDRESS}\n",
    "scalar": ADDRESS,
    "odd_token": f"a: @{ADDRESS}\n",
    "escape": f'a: "\\q{ADDRESS}"\n',
    "rules": f"rules: [{{match: {{{ADDRESS}: {ADDRESS}}}, then: {{status: {ADDRESS}}}}}]\n{ADDRESS}: 1\n",
    "control": f"a: {ADDRESS}\x01\n",
    "mapping": f"""name: m
inputs: {{people: "people*"}}
outputs:
  - dataset: user_preferences
    input: people
    columns: {{user_id: "{{{ADDRESS}"}}
""",
    "mapping_key": f"""name: m
inputs: {{people: "people*"}}
outputs:
  - dataset: user_profiles
    input: people
    columns:
      user_id: {{from: a, map: {{"{ADDRESS}": [1]}}}}
      "{ADDRESS}": b
      gender: {{template: "{{{ADDRESS}!r}}"}}
""",
    "mapping_template": f"""name: m
inputs: {{people: "people*"}}
outputs:
  - dataset: user_profiles
    input: people
    columns: {{user_id: {{template: "{ADDRESS} {{a!r}}"}}}}
""",
    "document": f"""kind: audience
id: {ADDRESS}
predicate: "{ADDRESS} = '{ADDRESS}'"
description: [{ADDRESS}]
"{ADDRESS}": 1
""",
    "predicate": f"""kind: audience
id: women
description: ""
predicate: "user_id = '{ADDRESS}'"
""",
    "material": f"""kind: material
id: hello
campaign: {ADDRESS}
template: {ADDRESS}
fields: {{{ADDRESS}: {ADDRESS}}}
""",
}


def yaml_files(folder: Path) -> list[Path]:
    paths = []
    for name, text in YAML.items():
        for encoding in ("utf-8", "utf-16") if name == "value" else ("utf-8",):
            path = folder / f"{name}_{encoding}.yaml"
            path.write_bytes(text.encode(encoding))
            paths.append(path)
    return paths


MAPPINGS: dict[str, list[dict[str, object]]] = {
    "profiles": [
        {
            "dataset": "user_profiles",
            "input": "people",
            "columns": {"user_id": "user_id", "signup_ts": "at", "country": "email", "birth_year": "at"},
        }
    ],
    "endpoints": [
        {
            "dataset": "user_endpoints",
            "input": "people",
            "columns": {
                "user_id": "user_id",
                "channel": {"constant": "email"},
                "address": "email",
                "registered_ts": {"from": "at", "timestamp": {"unit": "s"}},
                "is_active": "at",
            },
        }
    ],
    "suppressions": [
        {
            "dataset": "suppressions",
            "input": "people",
            "columns": {"entry_id": "user_id", "user_id": "user_id", "since_ts": "at", "reason": "email"},
        }
    ],
    "events": [
        {
            "dataset": "user_events",
            "input": "people",
            "filter": [{"column": "email", "op": "matches", "value": "."}],
            "columns": {
                "event_id": "user_id",
                "user_id": "user_id",
                "event_type": {"from": "email", "map": {"x": "open"}},
                "value": {"from": "at", "type": "float", "scale": 2.0},
                "event_ts": "at",
            },
        }
    ],
    "absent": [
        {
            "dataset": "user_profiles",
            "input": "people",
            "columns": {"user_id": "customer", "gender": "emaik", "country": "user_id_leakmarkr"},
        }
    ],
}


def outputs(home: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return everything a command showed or wrote outside the lake.

    Streams, logs, metrics, samples.
    """
    shown = capsys.readouterr()
    written = [path for path in home.rglob("*") if path.is_file()]
    files = [path for path in written if "lake" not in path.relative_to(home).parts]
    text = shown.out + shown.err + "".join(path.read_bytes().decode("utf-8", "replace") for path in files)
    return text.replace("\0", "").casefold()


def silent(home: Path, capsys: pytest.CaptureFixture[str], *words: str | Path) -> None:
    """Run a command; whatever it says, it says it in one line and without the marker."""
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    assert stopped.value.code in (0, 2), words
    shown = outputs(home, capsys)
    assert WORD not in shown, f"{[str(word) for word in words]}: {shown}"
    assert "traceback" not in shown


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("files", [csv_files, parquet_files])
def test_import_shows_no_value(
    tmp_path: Path,
    settings_home: Path,
    capsys: pytest.CaptureFixture[str],
    files: Callable[[Path], list[Path]],
    mapping: str,
) -> None:
    document = tmp_path / "mapping.yaml"
    document.write_text(
        yaml.safe_dump({"name": "m", "inputs": {"people": "people*"}, "outputs": MAPPINGS[mapping]})
    )
    paths = files(tmp_path)
    for path in paths:
        silent(
            settings_home, capsys, "import", "--mapping", document, path, "--ds", "2026-11-14", "--dry-run"
        )
    silent(settings_home, capsys, "import", "--mapping", document, *paths[:5], "--ds", "2026-11-14")


def test_a_mapping_shows_no_value(
    tmp_path: Path, settings_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "people.csv"
    file.write_text("a,b\n1,2\n")
    for path in yaml_files(tmp_path):
        silent(settings_home, capsys, "import", "--mapping", path, file, "--ds", "2026-11-14")


def test_a_list_shows_no_value(
    tmp_path: Path, settings_home: Path, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in [*csv_files(tmp_path), *parquet_files(tmp_path)]:
        silent(settings_home, capsys, "audience", "list", "vip", path)


def test_an_erasure_shows_no_value(
    tmp_path: Path, settings_home: Path, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in [*csv_files(tmp_path), *parquet_files(tmp_path)]:
        silent(settings_home, capsys, "lake", "erase", "--user-file", path)


def test_the_catalog_shows_no_value(
    tmp_path: Path, settings_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in yaml_files(tmp_path):
        silent(settings_home, capsys, "catalog", "apply", path)


def test_scripted_faults_show_no_value(
    tmp_path: Path, settings_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in yaml_files(tmp_path):
        ports = ["--port", "0", "--http-port", "0", "--max-seconds", "0.1"]
        silent(settings_home, capsys, "sandbox", "--rules", path, "--state-dir", settings_home / "s", *ports)


def slipped(name: str, column: str) -> pa.Table:
    """Return rows of a source dataset with an address in a column that is not meant for one."""
    table = valid_rows(name, 20, ds="2026-11-14")
    position = table.schema.get_field_index(column)
    return table.set_column(position, column, pa.array([f"to {ADDRESS}"] * table.num_rows))


@pytest.mark.slow  # Great Expectations
@pytest.mark.parametrize(
    ("table", "check"),
    [
        (slipped("user_profiles", "country"), "country.pattern"),
        (pa.table({ADDRESS: [ADDRESS]}), "country.present"),
    ],
)
def test_a_gate_shows_no_address(
    settings_home: Path, lake: Lake, capsys: pytest.CaptureFixture[str], table: pa.Table, check: str
) -> None:
    for name in ("user_profiles", "user_endpoints", "user_preferences", "user_events"):
        with lake.attempt(name, ds="2026-11-14") as attempt:
            rows = table if name == "user_profiles" else valid_rows(name, 20, ds="2026-11-14")
            attempt.write(rows, "part.parquet", conform=False)
            attempt.publish()
    day = ("--ds", "2026-11-14")
    silent(settings_home, capsys, "quality", "check", "--gate", "sources", *day)
    named = ("--gate", "sources", "--check", f"user_profiles.{check}")
    silent(settings_home, capsys, "quality", "rows", *named, *day)
    silent(settings_home, capsys, "lake", "verify")


@pytest.mark.slow
def test_a_damaged_file_of_the_lake_shows_no_address(
    settings_home: Path, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("user_profiles", "user_endpoints", "user_preferences", "user_events"):
        with lake.attempt(name, ds="2026-11-14") as attempt:
            rows = slipped(name, "user_id") if name == "user_profiles" else valid_rows(name, 20)
            entry = attempt.write(rows, "part.parquet", conform=False)
            attempt.publish()
        path = lake.store.root / entry.path
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-40])
    silent(settings_home, capsys, "quality", "check", "--gate", "sources", "--ds", "2026-11-14")
    silent(settings_home, capsys, "lake", "erase", "--user", "u1")
    silent(settings_home, capsys, "bootstrap", "--ds", "2026-11-14")
