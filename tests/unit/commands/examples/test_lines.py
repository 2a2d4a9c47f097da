"""Every command has an example, and its own parser takes it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from angelia.cli import COMMANDS, build
from angelia.commands.examples import EXAMPLES


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


def test_help_ends_with_it():
    assert BY_NAME["lake log"].epilog == "Example: angelia lake log user_events --partition ds=2026-11-14"
