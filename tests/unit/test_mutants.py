"""The table of breakages fits the code: one that no longer applies would catch nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.mutants.__main__ import BROKEN, ROOT
from tests.mutants.table import TABLE


def test_every_breakage_stands_once_in_the_code() -> None:
    texts = [path.read_text("utf-8") for folder in BROKEN for path in sorted((ROOT / folder).rglob("*.py"))]
    places = {mutant.name: sum(text.count(mutant.code) for text in texts) for mutant in TABLE}
    assert {name: n for name, n in places.items() if n != 1} == {}
    assert [name for name, n in Counter(mutant.name for mutant in TABLE).items() if n > 1] == []


def test_every_breakage_names_tests_there_are() -> None:
    unit = Path(__file__).parent
    missing = [(mutant.name, test) for mutant in TABLE for test in mutant.tests if not (unit / test).exists()]
    assert missing == []
