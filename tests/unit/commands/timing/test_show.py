"""`angelia timing show`: bars to scale, what a curve shrank to, and nobody's id."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.commands.timing.show import lines, ordinal_of
from angelia.contracts.rows import user_name, valid_rows
from angelia.errors import NotFound
from angelia.lake import Lake

SHOWN: dict[str, Any] = {
    "timezone": "Asia/Tokyo",
    "workday": [1.0] * 23 + [2.0],
    "day_off": [0.5] * 24,
    "evidence": {
        "weighted_pushes": 3.5,
        "days": 28,
        "active_hours": 40,
        "active_days": 9,
        "pushes": 7,
        "opens": 2,
    },
    "shrank_to": {"cluster": 3, "share": 0.25, "workday_peak": 9, "day_off_peak": 21},
    "chosen": {
        "by": "activity",
        "on": "2026-11-14",
        "habit": {"half_life_days": 14.0, "width_h": 1.5, "workday": 20.0, "day_off": 30.0, "coupling": 0.4},
        "strength": {"elasticity": 0.5, "waiting": 0.9, "opens": 30.0},
    },
}


def test_bars_are_to_the_scale_of_both_kinds_of_day() -> None:
    text = lines(SHOWN)
    assert text[2].split() == ["00", "1.00", "█" * 10, "0.50", "█" * 5]
    assert text[25].split() == ["23", "2.00", "█" * 20, "0.50", "█" * 5]


def test_evidence_cluster_and_parameters_are_sentences() -> None:
    text = "\n".join(lines(SHOWN))
    assert "in 28 days 40 active hours on 9 days, 7 pushes, 2 opens" in text
    assert "most of all 3 (25 % of the timezone's people), most active at 09:00 on workdays, 21:00" in text
    assert "chosen on 2026-11-14 by held-out activity, for want of responses" in text
    few = SHOWN | {"shrank_to": SHOWN["shrank_to"] | {"cluster": None, "share": None}}
    assert "everybody of the timezone (too few active hours" in "\n".join(lines(few))


def test_somebody_who_is_not_there_is_not_repeated(lake: Lake) -> None:
    with lake.attempt("user_features", ds="2026-11-14") as attempt:
        attempt.write(valid_rows("user_features", 5), "part-0000.parquet", shards=(0, 0))
        features = attempt.publish()
    assert ordinal_of(lake, features, user_name(4)) == 4
    with pytest.raises(NotFound) as missing:
        ordinal_of(lake, features, "secret-id")
    assert "secret" not in missing.value.one_line()
