"""Attributes and ids as other systems spell them.

Normalised or null, never a reason to lose the person.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from angelia.commands.import_ import run_import
from angelia.config import load_settings
from angelia.importing.attributes import normal_locale, normal_timezone
from angelia.lake import Lake

DS = "2026-11-14"


@pytest.mark.parametrize(
    ("text", "locale"),
    [
        ("de", "de"),
        ("de-DE", "de-DE"),
        ("de_DE", "de-DE"),
        ("DE_de", "de-DE"),
        ("de_DE.UTF-8", "de-DE"),
        ("de_DE@euro", "de-DE"),
        ("es-419", "es-419"),
        ("es_419", "es-419"),
        ("zh-Hant-TW", "zh-Hant-TW"),
        ("zh_hant_tw", "zh-Hant-TW"),
        ("zh_TW_#Hant", "zh-Hant-TW"),
        ("zh-Hans", "zh-Hans"),
        ("fil-PH", "fil-PH"),
        ("en-US-u-hc-h12", "en-US"),
        ("en_US_POSIX", "en-US"),
        ("ca-ES-valencia", "ca-ES"),
        (" pt-BR ", "pt-BR"),
        ("German", None),
        ("C", None),
        ("x-default", None),
        ("de/DE", None),
        ("", None),
    ],
)
def test_locales(text: str, locale: str | None) -> None:
    assert normal_locale(text) == locale


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        (" America/Argentina/BUENOS_AIRES", "America/Argentina/Buenos_Aires"),
        ("GMT+1", "Etc/GMT-1"),
        ("UTC-05:00", "Etc/GMT+5"),
        ("+0800", "Etc/GMT-8"),
        ("UTC+0", "Etc/UTC"),
        ("utc", "UTC"),
        ("+05:30", None),
        ("GMT+15", None),
        ("W. Europe Standard Time", None),
        ("Local", None),
    ],
)
def test_timezones(text: str, zone: str | None) -> None:
    assert normal_timezone(text) == zone


def imported(
    tmp_path: Path, lake: Lake, rows: list[tuple[str, ...]], **columns: Any
) -> tuple[list[Any], Any]:
    path = tmp_path / "mapping.yaml"
    outputs = [{"dataset": "user_profiles", "input": "people", "columns": columns}]
    inputs = {"people": {"match": "people*", "delimiter": ";"}}
    path.write_text(json.dumps({"name": "m", "inputs": inputs, "outputs": outputs}))
    file = tmp_path / "people.csv"
    file.write_text("id;a\n" + "".join(";".join(row) + "\n" for row in rows))
    result = run_import(load_settings(), path, [file], ds=DS)["outputs"][0]
    return lake.read(lake.require("user_profiles", ds=DS)).to_pylist(), result


def test_attributes_are_normalised_or_counted(tmp_path: Path, lake: Lake, settings_home: Path) -> None:
    rows = [(f"u{n:02}", "de_DE") for n in range(17)] + [
        ("u17", "es-419"),
        ("u18", "zh-Hant-TW"),
        ("u19", "Deutsch"),
    ]
    people, counts = imported(tmp_path, lake, rows, user_id="id", locale="a")
    assert [row["locale"] for row in people[16:]] == ["de-DE", "es-419", "zh-Hant-TW", None]
    assert counts["rejected"] == {}
    assert list(counts["nulled"].values()) == [1]
    assert next(iter(counts["nulled"])).startswith("locale: not matching")


def test_zones_are_normalised_or_counted(tmp_path: Path, lake: Lake, settings_home: Path) -> None:
    rows = [(f"u{n:02}", "GMT+1") for n in range(19)] + [("u19", "Local")]
    people, counts = imported(tmp_path, lake, rows, user_id="id", timezone="a")
    assert {row["timezone"] for row in people[:19]} == {"Etc/GMT-1"}
    assert people[19]["timezone"] is None
    assert counts["nulled"] == {"timezone: no iana timezone": 1}


@pytest.mark.parametrize(
    "user",
    ["auth0|5f7c8ec7", "{6F9619FF-8B86-D011-B42D-00CF4FC964FF}", "a/b#c", "+4917112345", "dXNlcg+/==", "~a"],
)
def test_ids_of_other_systems_are_kept(tmp_path: Path, lake: Lake, settings_home: Path, user: str) -> None:
    people, counts = imported(tmp_path, lake, [(user, "x")], user_id="id")
    assert [row["user_id"] for row in people] == [user]
    assert counts["rejected"] == {}


def test_any_id_can_be_hashed(tmp_path: Path, lake: Lake, settings_home: Path) -> None:
    ids = ["Müller, Jörg", "x" * 300, "a b"]
    rows = [(f'"{user}"', "x") for user in ids]
    people, counts = imported(tmp_path, lake, rows, user_id={"from": "id", "transform": ["trim", "hash"]})
    hashed = {hashlib.sha256(user.encode()).hexdigest()[:32] for user in ids}
    assert {row["user_id"] for row in people} == hashed
    assert counts["rejected"] == {}
