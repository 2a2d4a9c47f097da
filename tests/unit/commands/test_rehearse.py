"""`angelia rehearse`: a skipped rehearsal has a person and a reason, kept with the version."""

from __future__ import annotations

import json
from typing import Any

import pytest

from angelia import cli
from angelia.config import load_settings
from models.judging import rehearsed
from models.registry import FILES, Registry

pytestmark = pytest.mark.usefixtures("settings_home")


def run(capsys: Any, *words: str) -> tuple[int, str, str]:
    code = 0
    try:
        cli.main(["rehearse", *words])
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--version", "2026-11-14-ab", "--skip", "no time"], "--skip names nobody; a person answers for it"),
        (["--version", "2026-11-14-ab", "--skip", "no time", "--by", " "], "--skip names nobody"),
        (["--version", "2026-11-14-ab", "--skip", "no time", "--by", "ada"], "2026-11-14-ab"),
    ],
)
def test_a_skip_without_a_person_or_a_version_keeps_nothing(capsys: Any, words: list[str], says: str) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


def test_a_skipped_rehearsal_is_kept_with_who_and_why(capsys: Any) -> None:
    registry = Registry.configured(load_settings())
    version = registry.add("2026-11-14", dict.fromkeys(FILES, b"{}"))
    code, out, _ = run(capsys, "--version", version, "--skip", " no shop  ", "--by", "ada", "--json")
    assert code == 0
    answer = json.loads(out)
    assert answer["version"] == version
    assert (answer["verdict"]["reason"], answer["verdict"]["by"]) == ("no shop", "ada")
    card = registry.store.read(rehearsed.card_path(version)).decode()
    assert "no shop" in card
    assert "ada" in card


def test_a_failed_rehearsal_cannot_be_skipped(capsys: Any) -> None:
    registry = Registry.configured(load_settings())
    version = registry.add("2026-11-14", dict.fromkeys(FILES, b"{}"))
    words = ["--version", version, "--skip", "in a hurry", "--by", "ada"]
    figures = {"messages": 9, "opens": 1.0, "opens_per_message": 0.1, "unsubscribes_per_message": 0.0}
    gain = {"value": -0.05, "low": -0.06, "high": -0.04}
    failed = {
        "version": version, "how": rehearsed.AS_IT_IS, "says": "Two nights.",
        "figures": {"version": figures, "usual": figures},
        "gains": {"usual": {"opens_per_message": gain, "opens": {"value": 0.0, "low": 0.0, "high": 0.0}}},
    }  # fmt: skip
    rehearsed.keep(registry, version, failed)
    code, out, err = run(capsys, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "its opens a message are credibly fewer" in err
    assert "models.promote --force" in err
    assert rehearsed.kept(registry, version) == failed
    registry.store.put(f"p_open/rehearsals/{version}/verdict.json", b"{")
    assert run(capsys, *words)[0] == 0, "a verdict that cannot be read hides nothing"
