"""Effects over nights as they are kept for the console."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.asking import over_nights
from angelia.lake import Lake
from tests.unit.effects.test_over import DS as FIRST
from tests.unit.effects.test_over import NEXT, again, row_of, run

pytestmark = pytest.mark.usefixtures("settings_home")


def test_what_is_kept_is_what_the_commands_say(lake: Lake, night: Any, capsys: Any) -> None:
    again(lake, night)
    span = ("--from", FIRST, "--to", NEXT)
    assert over_nights.newest(lake, [NEXT, FIRST]) is None
    _, printed, _ = run(capsys, "over", *span, "--keep")
    kept = over_nights.newest(lake, [NEXT, FIRST])
    assert kept is not None
    assert kept["nights"] == [FIRST, NEXT]
    assert row_of(kept, "active_days") == row_of(printed, "active_days")
    _, power, _ = run(capsys, "power", *span, "--metric", "active_days", "--effect-pct", "5")
    own = next(one for one in kept["power"] if (one["scope"], one["metric"]) == ("all", "active_days"))
    for name in ("nights_one_look", "nights_any_look"):
        assert own[name] == power[name]


def test_without_keep_nothing_is_written(lake: Lake, night: Any, capsys: Any) -> None:
    before = sorted(lake.store.list(""))
    run(capsys, "over", "--from", FIRST, "--to", FIRST)
    assert sorted(lake.store.list("")) == before
