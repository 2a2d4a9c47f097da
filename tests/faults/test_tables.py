"""The tables of README.md name tests that exist, and every test of a pain is in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = Path(__file__).with_name("README.md").read_text()
CALLED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
NAMED = CALLED.findall(TEXT)
MARKED = re.compile(r"@pytest\.mark\.pain\((\d+)\)\n(?:async )?def (\w+)\(")


def test_every_test_that_is_named_exists() -> None:
    assert len(NAMED) > 50
    missing = [f"{path}::{name}" for path, name in NAMED if f"def {name}(" not in (ROOT / path).read_text()]
    assert missing == []


def test_every_pain_that_is_tried_is_in_the_table() -> None:
    tried = {
        (int(number), path.relative_to(ROOT).as_posix(), name)
        for path in (ROOT / "tests").rglob("test_*.py")
        for number, name in MARKED.findall(path.read_text())
    }
    lines = [line for line in TEXT.partition("## Pains")[2].splitlines() if line.startswith("| ")]
    table = {
        (int(line.split()[1]), *named)
        for line in lines
        if line.split()[1].isdigit()
        for named in CALLED.findall(line)
    }
    assert tried <= table
    assert {number for number, _, _ in tried} == set(range(1, 16))
