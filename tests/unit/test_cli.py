"""The command line: help that teaches, one-line errors, exit code 2, nothing written."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from angelia import __version__, cli
from angelia.contracts import CONTRACTS
from angelia.errors import INTERRUPTED, InvalidInput


def run(capsys, *words):
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(words))
    printed = capsys.readouterr()
    return stopped.value.code, printed.out, printed.err


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
        (["wrld"], "no command 'wrld'; did you mean `angelia world`?"),
        (["preview"], "no command 'preview'; did you mean `angelia catalog preview`?"),
        (["xyzzy"], "no command 'xyzzy'; `angelia --help` lists them"),
        (["lake", "log"], "Missing argument 'DATASET'; see `angelia lake log --help`"),
        (["lake", "lgo"], "No such command 'lgo'. Did you mean 'log'? see `angelia lake --help`"),
        (["lake", "xyzzy"], "No such command 'xyzzy'; see `angelia lake --help`"),
        (["lake", "log", "user_event"], "did you mean user_events"),
        (["plan", "show", "--ds", "2026-13-01"], "is not a date"),
        (
            ["plan", "show", "--ds", "2026-11-14"],
            "decisions has no commit for ds=2026-11-14; it is written by: plan_dispatch",
        ),
        (["why", "--ds", "2026-11-14", "--user", "u"], "decisions has no commit"),
        (["timing", "show", "--ds", "2026-11-14", "--user", "u"], "send_times has no commit"),
        (["bootstrap", "--ds", "2026-11-14"], "user_profiles has no commit"),
        (["world", "create", "--userz", "3"], "No such option: --userz"),
        (["loop", "--users", "1"], "Invalid value for '--users'"),
        (["deliver", "--ds", "2026-11-14", "--priority", "x"], "for '--priority': 'x' is not one of"),
        (["lake", "expire", "--older-than", "1" + "0" * 20], "Invalid value for '--older-than'"),
        (
            [*["plan", "replay", "--from", "2026-11-14", "--to", "2026-11-14", "--changes"], "[" * 20_000],
            "--changes is not a JSON object of objects",
        ),
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


def test_a_group_without_a_command_prints_its_help_alone(capsys):
    code, out, err = run(capsys, "catalog")
    assert code == 2
    assert "Usage: angelia catalog" in out
    assert err == ""


def test_a_bad_setting_names_its_variable(capsys, settings_home, monkeypatch):
    monkeypatch.setenv("ANGELIA_SHARD_BITS", "99")
    code, _, err = run(capsys, "plan", "show", "--ds", "2026-11-14")
    assert code == 2
    assert err.startswith("error: ANGELIA_SHARD_BITS: ")


def test_errors_are_one_line():
    assert InvalidInput("two\nlines", fix="do\n this").one_line() == "two lines; do this"
    assert len(CONTRACTS) >= 21


DAYS_OUT_OF_RANGE = ("9999-12-31", "0001-01-01", "1970-01-01")


@pytest.mark.parametrize("day", DAYS_OUT_OF_RANGE)
@pytest.mark.parametrize(
    "words",
    [
        "plan show --ds {}",
        "plan guard --ds {}",
        "plan compare --branch replay-x --ds {}",
        "plan replay --from {0} --to {0}",
        "why --user u --ds {}",
        "timing show --user u --ds {}",
        "report --ds {}",
        "quality check --gate sources --ds {}",
        "quality show --ds {}",
        "quality report --ds {}",
        "world create --users 100 --ds {}",
        "world respond --ds {}",
        "deliver --ds {}",
        "deliver --ds 2026-11-14 --send-hour {}T04",
        "ledger due --now {}T00:00:00Z",
        "ledger status --ds {}",
        "ledger resend --campaigns x --from {0} --to {0}",
        "ledger release --ds {}",
        "lake verify --ds {}",
        "bootstrap --ds {}",
        "loop --ds {}",
        "catalog snapshot --ds {}",
        "catalog preview --campaign x --ds {}",
        "catalog apply --on {}",
        "audience count true --ds {}",
    ],
)
def test_a_day_out_of_range_is_one_line(capsys, settings_home, words, day):
    code, out, err = run(capsys, *words.format(day).split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "is out of range; days are from 2000-01-01 to 2100-12-31" in err


def in_locale_c(home, *words):
    """Run a command where Python takes every text for ASCII."""
    env = {
        **os.environ,
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "LC_ALL": "C",
        "ANGELIA_HOME": str(home),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    argv = [sys.executable, "-m", "angelia.cli", *words]
    return subprocess.run(argv, env=env, capture_output=True, check=False, cwd=home)


def press_ctrl_c() -> None:
    """A command in which Ctrl-C is pressed."""
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_within_a_command_is_one_line(capsys, settings_home, monkeypatch):
    """Typer itself takes it, and says nothing."""
    monkeypatch.setitem(cli.COMMANDS, "doctor", (__name__, "press_ctrl_c", ""))
    assert run(capsys, "doctor") == (130, "", INTERRUPTED)


def test_the_version_is_printed(capsys):
    assert run(capsys, "--version") == (0, f"angelia {__version__}\n", "")


def test_a_paragraph_of_help_is_joined(capsys):
    _, out, _ = run(capsys, "ledger", "resend", "--help")
    assert "whose window is still open and whose people" in " ".join(out.split())
    assert not re.search(r"still open and *\n", out)


@pytest.mark.parametrize("words", [["--help"], ["lake", "log", "decisions"]])
def test_a_reader_that_went_away_is_no_error(tmp_path, words):
    reader, writer = os.pipe()
    os.close(reader)
    env = {**os.environ, "ANGELIA_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, "-m", "angelia.cli", *words]
    done = subprocess.run(argv, env=env, stdout=writer, stderr=subprocess.PIPE, check=False, cwd=tmp_path)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_full_disk_behind_the_output_is_one_line(tmp_path):
    env = {**os.environ, "ANGELIA_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "angelia.cli", "--version"],
            env=env, stdout=full, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: the answer cannot be written to standard output: No space left")
    assert done.stderr.count(b"\n") == 1


def test_words_of_any_language_pass_a_locale_without(tmp_path):
    (tmp_path / "all.yaml").write_text(
        "kind: policy\nid: default\nsalt: s\nholdout: {share_pct: 0, salt: h}\n"
        "explore: {slot_share_pct: 0, epsilon: 0.1, temperature: 0.02}\n---\n"
        'kind: audience\nid: all\ndescription: 所有人, für alle\npredicate: "true"\n',
        "utf-8",
    )
    applied = in_locale_c(tmp_path, "catalog", "apply", "all.yaml")
    assert (applied.returncode, applied.stderr) == (0, b"")
    shown = in_locale_c(tmp_path, "catalog", "show", "audience", "all")
    assert (shown.returncode, shown.stderr) == (0, b"")
    (tmp_path / "again.yaml").write_bytes(shown.stdout)
    again = in_locale_c(tmp_path, "catalog", "apply", "again.yaml")
    assert again.stdout.decode().splitlines()[-1].startswith("0 created, 0 changed, 0 removed, 1 unchanged")


def test_bytes_that_are_no_text_fail_in_one_line(tmp_path):
    refused = in_locale_c(tmp_path, "catalog", "show", "campaign", os.fsdecode(b"\xff\xfe"))
    assert refused.returncode == 2
    assert refused.stderr.startswith(b"error: no campaign ")
    assert refused.stderr.count(b"\n") == 1
