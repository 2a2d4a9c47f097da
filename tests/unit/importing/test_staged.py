"""What an output came to: the share of rejects, and values lost without being asked for."""

from __future__ import annotations

from angelia.importing.mapping import Output
from angelia.importing.staged import Staged
from tests.unit.importing.small_files import PROFILES


def staged(**counts: object) -> Staged:
    columns = PROFILES["columns"] | {"birth_year": {"from": "born", "invalid": "null"}}
    return Staged(Output.model_validate(PROFILES | {"columns": columns}), "ready_0", **counts)  # type: ignore[arg-type]


def test_rejects_are_a_share_of_what_was_not_filtered() -> None:
    item = staged(n_read=110, filtered={"old": 10}, rejected={"bad id": 3, "no time": 2})
    assert item.reject_pct == 5.0
    assert staged(n_read=10, filtered={"old": 10}).reject_pct == 0.0


def test_lost_values_are_counted_by_column_where_nobody_asked() -> None:
    nulled = {
        "gender: not allowed": 2,
        "gender: too long": 1,
        "birth_year: out of range": 9,
        "genderless: x": 5,
    }
    assert staged(nulled=nulled).nulled_by_default() == {"gender": 3}
