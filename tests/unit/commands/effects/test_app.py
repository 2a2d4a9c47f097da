"""The group `angelia effects`: commands of two rooms, each with a summary of its own."""

from __future__ import annotations

from typer.main import get_command

from angelia.commands.effects.app import app


def test_the_groups_commands_come_from_both_rooms() -> None:
    group = get_command(app)
    commands = group.commands  # type: ignore[attr-defined]
    own = {"mart", "figures", "export", "series", "experiment", "uplift", "drift"}
    assert own < set(commands)
    assert {"over", "power"} <= set(commands) - own, "those of the report's room stay"
    assert all(command.get_short_help_str() for command in commands.values())
