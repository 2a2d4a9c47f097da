"""Every breakage of `make mutants` still has its one place in the code, and tests to notice it."""

from __future__ import annotations

from pathlib import Path

from tests.mutants.__main__ import BROKEN
from tests.mutants.table import TABLE

ROOT = Path(__file__).resolve().parents[2]


def test_every_breakage_has_one_place() -> None:
    code = [path.read_text("utf-8") for folder in BROKEN for path in sorted((ROOT / folder).rglob("*.py"))]
    assert not [mutant.name for mutant in TABLE if sum(text.count(mutant.code) for text in code) != 1]


def test_every_breakage_names_tests_that_exist() -> None:
    missing = {name for mutant in TABLE for name in mutant.tests if not (ROOT / "tests/unit" / name).exists()}
    assert not missing
