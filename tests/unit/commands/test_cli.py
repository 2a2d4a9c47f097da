"""The command line: help that teaches, one-line errors, exit code 2, nothing written."""

import pytest

from angelia import cli
from angelia.contracts import CONTRACTS
from angelia.errors import InvalidInput


def run(capsys, *words):
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(words))
    said = capsys.readouterr()
    return stopped.value.code, said.out, said.err


def test_help_lists_every_command(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for name in cli.COMMANDS:
        assert f"  {name} " in out


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_each_command_has_help(capsys, name):
    code, out, _ = run(capsys, name, "--help")
    assert code == 0
    assert "Usage" in out
    assert "--json" in out or "Commands" in out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["wrld"], "did you mean world"),
        (["lake", "log"], "Missing argument 'DATASET'"),
        (["lake", "log", "user_event"], "did you mean user_events"),
        (["plan", "show", "--ds", "2026-13-01"], "is not a date"),
        (
            ["plan", "show", "--ds", "2026-11-14"],
            "decisions has no commit for ds=2026-11-14; it is written by: plan_dispatch",
        ),
        (["why", "--ds", "2026-11-14", "--user", "u"], "decisions has no commit"),
        (["bootstrap", "--ds", "2026-11-14"], "user_profiles has no commit"),
        (["world", "create", "--userz", "3"], "No such option: --userz"),
        (["loop", "--users", "1"], "Invalid value for '--users'"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(capsys, settings_home, words, expected):
    code, out, err = run(capsys, *words)
    assert code == 2
    assert out == ""
    assert expected in err
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert list(settings_home.iterdir()) == []


def test_a_bad_setting_names_its_variable(capsys, settings_home, monkeypatch):
    monkeypatch.setenv("ANGELIA_SHARD_BITS", "99")
    code, _, err = run(capsys, "plan", "show", "--ds", "2026-11-14")
    assert code == 2
    assert err.startswith("error: ANGELIA_SHARD_BITS: ")


def test_errors_are_one_line():
    assert InvalidInput("two\nlines", fix="do\n this").one_line() == "two lines; do this"
    assert len(CONTRACTS) >= 21
