"""Small files, the mappings that read them, and the rows that an import makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

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


def read(lake: Lake, name: str, **partition: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = lake.read(lake.require(name, **partition)).to_pylist()
    return rows
