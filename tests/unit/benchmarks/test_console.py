"""What the console's benchmark refuses, and the pages it asks for."""

from __future__ import annotations

import os
import re

import pytest

from angelia.errors import InvalidInput, NotFound
from benchmarks import console
from benchmarks.harness.watch import ticks


def test_a_home_without_a_night_is_refused(tmp_path) -> None:
    with pytest.raises(NotFound, match="no planned night"):
        console.main(["--home", str(tmp_path)])


@pytest.mark.parametrize("words", [["--rounds", "1"], ["--operators", "0"]])
def test_too_few_rounds_or_operators_are_refused(words: list[str], tmp_path) -> None:
    with pytest.raises(InvalidInput, match="at least"):
        console.main(["--home", str(tmp_path), *words])


def test_the_pages_are_measured() -> None:
    from angelia.console.app import all_pages

    listed = {page.name for page in all_pages() if page.is_listed}
    ours = {"today", "campaigns", "catalog", "approvals", "audit", "plan", "replay", "effects"}
    measured = {re.split("[/?]", page)[0] for page in console.PAGES}
    assert ours <= listed & measured


def test_processor_time_is_counted() -> None:
    assert ticks(os.getpid()) > 0
    assert ticks(2**22 + 1) == 0
