"""`angelia intake triggers`: what the command says of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from angelia import cli
from angelia.intake.dispatching import sample_night
from angelia.intake.message import now
from angelia.lake.configured import open_lake
from tests.unit.intake.dispatching import NIGHT
from tests.unit.intake.triggers.setting import (
    LEFT,
    MINUTE,
    T,
    arrive,
    documents,
    index,
)


def test_the_command_says_what_it_did(settings_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lake = open_lake()
    broken = LEFT | {"id": "broken", "trigger": {"event": "cart", "where": "in_list('gone')"}}
    sample_night.make(lake, 8, NIGHT, documents=documents(LEFT, broken))
    index(lake)
    arrive(lake, (0, "cart", T), (7, "cart", T), (7, "cart", now() + 24 * 60 * MINUTE))
    with pytest.raises(SystemExit, match="3"):  # the broken one's events wait
        cli.main(["intake", "triggers", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["new_events"] == 4
    assert answer["outcomes"] == {"handed_over": 1, "not_in_audience": 1}
    assert answer["dropped"] == {"in_the_future": 1}
    assert len(answer["problems"]) == 1
