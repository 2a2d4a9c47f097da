"""Effects kept over nights: the newest that is there answers, and damage is named."""

from __future__ import annotations

import json

import pytest

from angelia.asking.over_nights import TOPIC, keep, newest
from angelia.effects.panel import Panel
from angelia.effects.sources import NightScope
from angelia.errors import Corrupt
from angelia.lake import Lake, numbered

DAYS = ("2026-11-13", "2026-11-14")


def test_the_first_of_the_nights_that_has_something_answers(lake: Lake) -> None:
    assert newest(lake, DAYS[::-1]) is None
    numbered.store(lake, TOPIC, DAYS[0], {"nights": [DAYS[0]]})
    assert newest(lake, DAYS[::-1]) == {"nights": [DAYS[0]]}
    numbered.store(lake, TOPIC, DAYS[1], {"nights": list(DAYS)})
    numbered.store(lake, TOPIC, DAYS[1], {"nights": [DAYS[1]]})
    assert newest(lake, DAYS[::-1]) == {"nights": [DAYS[1]]}, "of two, the one kept last"


def test_damage_is_named(lake: Lake) -> None:
    lake.store.create(f"quality/main/{DAYS[0]}/{TOPIC}/0001.json", b"{")
    with pytest.raises(Corrupt):
        newest(lake, DAYS)


def test_what_is_kept_is_plain_json_beside_the_last_night(lake: Lake) -> None:
    nights = tuple(NightScope.of(ds, 28, None) for ds in DAYS)
    panel = Panel.__new__(Panel)
    object.__setattr__(panel, "nights", nights)
    object.__setattr__(panel, "moments", {})
    keep(lake, {"effects": [], "until": nights[0].plan_end}, panel, 7)
    kept = newest(lake, [DAYS[1]])
    assert kept == {"effects": [], "until": str(nights[0].plan_end), "effect": 0.05, "power": []}
    assert newest(lake, [DAYS[0]]) is None
    assert json.dumps(kept)
