"""`angelia catalog …` as an operator types it: output, exit codes, and mistakes.

A mistake writes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from angelia import cli
from angelia.contracts.rows import valid_rows
from angelia.lake import Lake

Write = Callable[..., Path]


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    try:
        cli.main(["catalog", *map(str, args)])
        code = 0
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def applied(settings_home: Path, catalog_url: str, write: Write, capsys: pytest.CaptureFixture[str]) -> Path:
    folder = write()
    assert run(capsys, "apply", folder, "--actor", "ann")[0] == 0
    return folder


def test_a_dry_run_shows_and_writes_nothing(
    settings_home: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "apply", write(), "--dry-run")
    assert (code, err) == (0, "")
    assert "+++ campaign/sale@1" in out
    assert out.splitlines()[-1] == "would be: 10 created, 0 changed, 0 removed, 0 unchanged"
    assert run(capsys, "list")[1] == "the catalog is empty: angelia catalog apply campaigns/\n"


def test_apply_then_change_then_prune(
    applied: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = run(capsys, "apply", applied, "--json")
    assert json.loads(out) == {
        "dry_run": False,
        "created": [],
        "changed": [],
        "removed": [],
        "unchanged": 10,
        "kept": [],
        "diff": {},
        "warnings": [],
    }
    changed = write(
        ("owner: growth", "owner: other"),
        ("kind: channel\nid: sms", "kind: channel\nid: email"),
        ("[fcm, sms]", "[fcm, email]"),
    )
    code, out, _ = run(capsys, "apply", changed, "--prune")
    assert code == 0
    assert "-owner: growth\n+owner: other" in out
    assert out.splitlines()[-1] == "1 created, 1 changed, 1 removed, 8 unchanged"


def test_two_mistakes_are_two_lines_and_exit_code_2(
    applied: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(
        ("audience: women", "audience: woman"),
        ("owner: growth", "ownr: growth"),
        ("holdout_pct: 5", "holdout_pct: -1"),
    )
    code, out, err = run(capsys, "apply", folder)
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert len(lines) == 4  # references are looked at once every document is sound
    assert lines[-1] == "error: 3 problems, nothing was written"
    code, _, err = run(capsys, "apply", write(("audience: women", "audience: woman")))
    assert code == 2
    assert err.startswith("error: ")
    assert err.endswith("no audience 'woman'; did you mean women?; nothing was written\n")
    assert err.count("\n") == 1


def test_a_stale_editor_is_told(applied: Path, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(capsys, "apply", write(("owner: growth", "owner: other")), "--expect", "campaign/sale=1")[0] == 0
    )
    code, _, err = run(
        capsys, "apply", write(("owner: growth", "owner: third")), "--expect", "campaign/sale=1"
    )
    assert code == 2
    assert "campaign/sale: " in err
    assert "yours was made from version 1" in err
    assert run(capsys, "apply", applied, "--expect", "sale=1")[2].startswith(
        "error: --expect 'sale=1' is not KIND/ID=VERSION"
    )


def test_show_has_the_document_and_its_history(applied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "stop", "sale", "--reason", "wrong price", "--actor", "bob")
    out = run(capsys, "show", "campaign", "sale")[1]
    assert out.startswith("kind: campaign\nid: sale\n")
    assert out.splitlines()[-2].endswith("ann: created")
    assert out.splitlines()[-1].endswith("bob: stop (wrong price)")
    shown = json.loads(run(capsys, "show", "campaign", "sale", "--json")[1])
    assert shown["body"]["occurrence"] == {"every": "weekly", "weekdays": ["sat", "sun"]}
    assert [event["reason"] for event in shown["events"]] == ["wrong price"]
    code, _, err = run(capsys, "show", "campaign", "sael")
    assert (code, err) == (2, "error: no campaign 'sael'; did you mean sale?\n")


def test_stop_list_resume(applied: Path, lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "stop", "sale", "--reason", "x")[1] == "sale is stopped\n"
    assert run(capsys, "stop", "sale", "--reason", "x")[1] == "sale was stopped already\n"
    assert run(capsys, "list", "campaign")[1].rstrip().endswith("STOPPED")
    assert json.loads(run(capsys, "snapshot", "--ds", "2026-11-14", "--json")[1])["stopped"] == ["sale"]
    assert run(capsys, "resume", "sale")[1] == "sale is running\n"
    assert "STOPPED" not in run(capsys, "list")[1]
    assert len(lake.read_log("stops")) == 2
    assert run(capsys, "stop", "sale")[0] == 2  # a reason is asked for
    assert run(capsys, "list", "campain")[2] == "error: unknown kind 'campain'; did you mean campaign?\n"


def test_snapshot_writes_the_night(applied: Path, lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(capsys, "snapshot", "--ds", "2026-11-14")[1] == "catalog_snapshot/ds=2026-11-14@1: 10 documents\n"
    )
    assert lake.require("catalog_snapshot", ds="2026-11-14").rows == 10
    assert run(capsys, "snapshot", "--ds", "14.11.2026")[0] == 2


def test_preview_renders_every_material_in_every_language(
    applied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = json.loads(run(capsys, "preview", "--campaign", "sale", "--json")[1])["previews"]
    assert [(item["material"], item["locale"], item["title"]) for item in shown] == [
        ("sale_camera", "de", "Angebot: cameras"),
        ("sale_camera", "en", "Sale: cameras"),
        ("sale_books", "de", "Angebot: books"),
        ("sale_books", "en", "Sale: books"),
    ]
    assert shown[1]["link"] == "https://shop.example/camera?c=sale"
    assert run(capsys, "preview", "--campaign", "sail")[0] == 2


def test_preview_says_which_devices_get_it(
    applied: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "device" not in run(capsys, "preview", "--campaign", "sale")[1]
    words = ("materials: [sale_camera, sale_books]", "devices: best\nmaterials: [sale_camera, sale_books]")
    assert run(capsys, "apply", write(words))[0] == 0
    first = run(capsys, "preview", "--campaign", "sale")[1].splitlines()[0]
    assert first.startswith("to the device that showed most of its recent messages")
    assert json.loads(run(capsys, "preview", "--campaign", "sale", "--json")[1])["devices"] == "best"


LONG = ("{{ item }} for less.", "x" * 4200)


def test_apply_refuses_what_no_provider_would_take(
    settings_home: Path, catalog_url: str, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(LONG)
    code, out, err = run(capsys, "apply", folder)
    assert (code, out) == (2, "")
    lines = [line for line in err.splitlines() if "variants.en.body: 4," in line]
    assert [": template/sale: " in line for line in lines] == [True, True]  # a line for each material
    assert "fcm takes 4,096: every message of campaign sale" in lines[0]
    assert ".yaml:33: " in lines[0]
    assert run(capsys, "list")[1] == "the catalog is empty: angelia catalog apply campaigns/\n"


def test_apply_and_preview_warn_of_what_people_may_make_too_long(
    applied: Path, write: Write, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    near = (
        "{% if level >= 2 %}Members first. {% endif %}",
        "{% if level >= 2 %}" + "x" * 4200 + "{% endif %}",
    )
    folder = write(near)
    code, out, err = run(capsys, "apply", folder, "--json")
    assert code == 0
    first, _ = json.loads(out)["warnings"]
    assert "messages to people with long fields of campaign sale" in first
    assert err.startswith(f"warning: {first}\n")
    with lake.attempt("user_features", ds="2026-11-13") as attempt:
        levels = pa.array([9] * 3 + [0] * 5, pa.int16())
        table = valid_rows("user_features", 8)
        for name, values in (("membership_level", levels), ("locale", pa.array(["en"] * 8))):
            index = table.schema.get_field_index(name)
            field = table.schema.field(index)
            table = table.set_column(index, field, values.cast(field.type))
        attempt.write(table, "part-0000.parquet")
        attempt.publish()
    code, out, err = run(capsys, "preview", "--campaign", "sale")
    assert (code, err.count("warning: template/sale: variants.en.body: ")) == (0, 2)
    assert "of 8 people of 2026-11-13, 3 would not get sale_books, fcm: payload_too_large" in out
    code, out, err = run(capsys, "preview", "--campaign", "sale", "--user", "u0000000")
    assert "  would be rejected: 4,3" in out


def test_preview_for_a_person_uses_their_fields_and_language(
    applied: Path, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "preview", "--campaign", "sale", "--user", "u0000003")
    assert code == 2
    assert err.startswith("error: there are no user features yet")
    rows = valid_rows("user_features", 6, ds="2026-11-14")
    given = {
        "membership_level": pa.array([0, 1, 2, 3, 4, None], pa.int16()),
        "locale": ["en-GB", "de-AT", "fr-FR", "de-DE", None, "en"],
    }
    for name, values in given.items():
        rows = rows.set_column(
            rows.column_names.index(name),
            rows.schema.field(name),
            pa.array(values, rows.schema.field(name).type),
        )
    with lake.attempt("user_features", ds="2026-11-14") as attempt:
        attempt.write(rows.slice(0, 3), "part-0000.parquet", shards=(0, 0))
        attempt.write(rows.slice(3), "part-0001.parquet", shards=(1, 1))
        attempt.publish()
    with lake.attempt("user_features", ds="2062-05-08") as attempt:  # of a mistyped year: no default
        attempt.write(rows.slice(0, 0), "part-0000.parquet", shards=(0, 0))
        attempt.publish()

    def read(user: str) -> tuple[str, str]:
        first = json.loads(run(capsys, "preview", "--campaign", "sale", "--user", user, "--json")[1])[
            "previews"
        ][0]
        return first["locale"], first["body"]

    assert read("u0000001") == ("de", "cameras im Angebot")
    assert read("u0000002") == ("en", "Members first. cameras for less.")
    assert read("u0000003") == ("de", "cameras im Angebot")
    assert read("u0000004") == ("en", "Members first. cameras for less.")
    assert read("u0000005") == ("en", "cameras for less.")
    code, _, err = run(capsys, "preview", "--campaign", "sale", "--user", "somebody-else")
    assert code == 2
    assert "this person is not in user_features of 2026-11-14" in err
    assert "somebody" not in err


def test_an_actor_is_a_name(settings_home: Path, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "apply", write(), "--actor", "a\nb")
    assert code == 2
    assert err == "error: --actor is a name of at most 200 printable characters\n"
    assert not (settings_home / "catalog.db").exists()
