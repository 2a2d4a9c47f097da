"""Every command has an example, and its own parser takes it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import typer.main

from angelia import logs
from angelia.audience.language.predicate import parse
from angelia.cli import COMMANDS, _step_name, build
from angelia.commands.examples import EXAMPLES
from angelia.console.failures import failures


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        words = f"{path} {name}".strip()
        yield from commands(command, words) if hasattr(command, "commands") else [(words, command)]


BY_NAME = dict(commands(typer.main.get_command(build(list(COMMANDS)))))


def test_every_command_has_an_example():
    assert sorted(EXAMPLES) == sorted(BY_NAME)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_the_commands_own_parser_takes_it(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in ("mapping.yaml", "directory.yaml", "profiles.csv", "events.csv", "vip.csv"):
        (tmp_path / file).touch()
    (tmp_path / "campaigns").mkdir()
    words = shlex.split(EXAMPLES[name])[1 + len(name.split()) :]
    BY_NAME[name].make_context(name, words)


@pytest.mark.parametrize("name", ["audience count", "audience explain", "audience save"])
def test_a_predicate_of_an_example_is_one(name):
    parse(next(word for word in shlex.split(EXAMPLES[name]) if "'" in word))


# The desk shows failures of main alone.
@pytest.mark.parametrize("name", sorted(name for name, line in EXAMPLES.items() if "--branch" not in line))
def test_the_parser_takes_what_the_desk_offers(name, tmp_path, monkeypatch):
    monkeypatch.setenv("ANGELIA_HOME", str(tmp_path))
    monkeypatch.setenv("ANGELIA_LOG", str(tmp_path / "log"))
    words = shlex.split(EXAMPLES[name])[1:]
    step = _step_name(words)
    with pytest.raises(KeyError), logs.step(step, words):
        raise KeyError
    (failure,), _ = failures(tmp_path / "log", datetime.now(UTC))
    offered = shlex.split(failure.command)[1:]
    assert offered[: len(step.split())] == step.split()
    if offered[-1] != "--help":
        BY_NAME[name].make_context(name, offered[len(name.split()) :])


def test_help_ends_with_it():
    assert BY_NAME["lake log"].epilog == "Example: angelia lake log user_events --partition ds=2026-11-14"
