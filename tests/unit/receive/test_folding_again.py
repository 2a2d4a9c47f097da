"""A fold that ends half way, and what later folds make of it."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.lake import Lake
from angelia.lake.store import LocalStore
from angelia.receive.folding import fold
from angelia.receive.journal import Journal, parse
from angelia.receive.receipts import HourlyReceipts
from tests.unit.receive.callers import NOW, body_of, event, receipts


@pytest.mark.parametrize("when", ["suppressions", "receipts", "noting", "moving"])
def test_a_fold_that_dies_half_way_loses_and_doubles_nothing(
    when: str, lake: Lake, dispatches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [event(dispatches[0], "stop"), event(dispatches[1]), event("0" * 32, name="e9")]
    Journal(lake.store).keep(parse(body_of(*events), NOW)[0], NOW)

    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> Any:
        raise Killed

    with monkeypatch.context() as dying:
        place, method = {
            "suppressions": (HourlyReceipts, "add"),
            "receipts": (Journal, "keep"),
            "noting": (Journal, "folded"),
            "moving": (LocalStore, "delete"),
        }[when]
        dying.setattr(place, method, die)
        with pytest.raises(Killed):
            fold(lake, NOW)
    counts = fold(lake, NOW)
    assert (counts["receipts"], counts["suppressions"]) == ((2, 0) if when == "suppressions" else (0, 0))
    assert sorted(row["user_id"] for row in receipts(lake)) == ["u00000000", "u00000001"]
    assert len(lake.read_log("suppressions")) == 1
    left = [one for _, group in Journal(lake.store).pending() for one in group]
    assert {one.dispatch_id for one in left} == {"0" * 32}


def test_a_fold_lists_what_is_new_and_marks_of_old_versions_hold(lake: Lake, dispatches: list[str]) -> None:
    journal = Journal(lake.store)
    key = journal.keep(parse(body_of(event(dispatches[0])), NOW)[0], NOW)
    assert fold(lake, NOW)["receipts"] == 1
    assert list(lake.store.list("received")) == []
    assert journal.stands(key)
    old = journal.keep(parse(body_of(event(dispatches[1])), NOW)[0], NOW)
    lake.store.create(f"folded/{old}", b"{}")
    assert fold(lake, NOW) == {}
    assert list(lake.store.list("received")) == []
