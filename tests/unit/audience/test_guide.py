"""docs/AUDIENCES.md: its examples parse, and it lacks no field, function or command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from angelia.audience.language.fields import FIELDS
from angelia.audience.language.functions import FUNCTIONS
from angelia.audience.language.predicate import parse
from angelia.commands.audience import app

GUIDE = (Path(__file__).parents[3] / "docs" / "AUDIENCES.md").read_text()
EXAMPLES = re.findall(r"```sql\n(.*?)```", GUIDE, re.DOTALL)
AUDIENCES = {"lapsed_shoppers": "TRUE"}


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_parse(text: str) -> None:
    parse(text, AUDIENCES, history_days=28)


@pytest.mark.parametrize("name", [*FIELDS, *FUNCTIONS])
def test_every_field_and_function_is_described(name: str) -> None:
    assert re.search(rf"`{name}[`(]", GUIDE)


def test_every_command_is_described() -> None:
    names = [
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    ]
    assert len(names) >= 7
    for name in names:
        assert f"`angelia audience {name} " in GUIDE
