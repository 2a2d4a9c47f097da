"""The page of promises names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_every_promise_names_tests_that_exist() -> None:
    rows = (ROOT / "docs" / "reference" / "intake.md").read_text("utf-8").splitlines()
    missing, n_named = [], 0
    for shown in (row.split("|")[2] for row in rows if row.startswith("| ") and "shown by" not in row):
        for path, names in re.findall(r"(tests/[\w/]+\.py): ([\w, ]+)", shown):
            text = (ROOT / path).read_text("utf-8")
            n_named += 1
            missing += [
                f"{path}: {name}" for name in map(str.strip, names.split(",")) if f"def {name}(" not in text
            ]
    assert not missing
    assert n_named > 40
