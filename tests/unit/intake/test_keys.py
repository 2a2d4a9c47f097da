"""Keys: kept as a hash, revoked, rotated; rates that refill; the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from angelia.cli import main
from angelia.errors import InvalidInput, NotFound
from angelia.intake import keys as keys_module
from angelia.intake.keys import SCOPES, Keys, Rates
from angelia.intake.tables import keys as table


def test_the_secret_is_kept_nowhere(engine: Engine) -> None:
    key, text = Keys(engine).make("shop", SCOPES, 9, 1)
    with engine.connect() as connection:
        row = connection.execute(sa.select(table)).one()
    assert text.rpartition(key.key_id + "_")[2] not in str(tuple(row))


def test_only_the_right_secret_opens(engine: Engine) -> None:
    keys = Keys(engine)
    key, text = keys.make("shop", ["read"], 9, 1)
    assert keys.check(text) == key
    assert keys.remembered(text) == key
    wrong = text[:-1] + ("A" if text[-1] != "A" else "B")
    for attempt in (wrong, "", "ank_", text + "A", text.upper()):
        assert keys.check(attempt) is None
        assert not keys.remembered(attempt)


def test_a_revoked_key_opens_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Keys(engine)
    old, old_text = keys.make("shop", SCOPES, 9, 1)
    _, new_text = keys.make("shop", SCOPES, 9, 2)
    assert keys.check(old_text)
    keys.revoke(old.key_id, 3)
    monkeypatch.setattr(keys_module, "_REMEMBER_S", -1.0)
    assert keys.remembered(old_text) is False
    assert keys.check(old_text) is None
    assert keys.check(new_text)
    with pytest.raises(NotFound):
        keys.revoke(old.key_id, 4)


@pytest.mark.parametrize(
    ("client", "scopes"), [("Shop", SCOPES), ("", SCOPES), ("shop", []), ("shop", ["all"])]
)
def test_a_key_of_another_form_is_not_made(engine: Engine, client: str, scopes: list[str]) -> None:
    with pytest.raises(InvalidInput):
        Keys(engine).make(client, scopes, 9, 1)
    assert Keys(engine).every() == []


def test_a_bucket_refills_by_the_second(engine: Engine) -> None:
    key, _ = Keys(engine).make("shop", SCOPES, 10, 1)
    rates = Rates()
    assert rates.take(key, 10, 100.0) == 0
    assert rates.take(key, 5, 100.0) == 0.5
    assert rates.take(key, 5, 100.5) == 0
    # A batch larger than the bucket passes when the bucket is full, and is paid off after it.
    assert rates.take(key, 30, 102.0) == 0
    assert rates.take(key, 1, 103.9) > 0
    assert rates.take(key, 1, 104.2) == 0


def test_commands_make_list_and_revoke(settings_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: str) -> dict[str, object]:
        with pytest.raises(SystemExit) as ended:
            main(["intake", "keys", *words, "--json"])
        assert ended.value.code == 0
        document: dict[str, object] = json.loads(capsys.readouterr().out)
        return document

    made = run("make", "--client", "shop", "--scope", "read")
    listed = run("list")["keys"]
    assert listed == [
        {
            "key_id": made["key_id"],
            "client": "shop",
            "scopes": ["read"],
            "per_second": 1000,
            "state": "in use",
        }
    ]
    run("revoke", str(made["key_id"]))
    assert run("list")["keys"][0]["state"] == "revoked"  # type: ignore[index]
    with pytest.raises(SystemExit) as ended:
        main(["intake", "keys", "make", "--client", "A B"])
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
