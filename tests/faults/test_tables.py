"""The tables of README.md name tests that exist, and every test of a pain is in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = Path(__file__).with_name("README.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)


def test_every_test_that_is_named_exists() -> None:
    assert len(NAMED) > 50
    missing = [f"{path}::{name}" for path, name in NAMED if f"def {name}(" not in (ROOT / path).read_text()]
    assert missing == []


def test_every_pain_that_is_tried_is_in_the_table() -> None:
    files = (ROOT / "tests").rglob("test_*.py")
    tried = {name for file in files for name in re.findall(r"def (test_pain_\w+)\(", file.read_text())}
    assert {name for _, name in NAMED if name.startswith("test_pain_")} == tried
    assert {int(name.split("_")[2]) for name in tried} == set(range(1, 16))
