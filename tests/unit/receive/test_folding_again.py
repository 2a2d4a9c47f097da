"""A fold that ends half way, what later folds make of it, and a message that no plan has."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from angelia.contracts.rows import valid_rows
from angelia.delivery.manifest import parts
from angelia.delivery.manifest.batches import seal_batch
from angelia.lake import Lake
from angelia.lake.store import LocalStore
from angelia.receive.folding import fold
from angelia.receive.journal import Event, Journal, parse
from angelia.receive.receipts import HourlyReceipts
from angelia.users.suppressions import address_hash, address_key
from tests.unit.delivery.given import DS
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


def test_a_hard_bounce_by_rest_ends_its_address(lake: Lake) -> None:
    """A message of the intake stands in a sealed batch, and no plan's manifest has its address."""
    hour, keys = "2026-11-15T05", {"channel": "email", "priority": "high", "part": "0000"}
    rows = valid_rows("dispatch_intake", 2).sort_by("dispatch_id")
    rows = rows.set_column(rows.schema.get_field_index("channel"), "channel", [["email"] * 2])
    with lake.attempt("dispatch_intake", ds=DS, send_hour=hour, part="b" * 32) as attempt:
        name = "channel=email/priority=high/part-0000.parquet"
        attempt.write(rows, name, keys={"send_hour": hour, **keys})
        sealed = seal_batch(lake, attempt.publish(), "now")
    (part,) = parts.parts_of(lake, sealed, hour)
    of_ledger = valid_rows("delivery_ledger", 2)
    for column in ("dispatch_id", "message_id", "user_id", "campaign_id", "material_id", "channel"):
        at = of_ledger.schema.get_field_index(column)
        of_ledger = of_ledger.set_column(at, column, rows[column])
    with lake.attempt("delivery_ledger", ds=DS, send_hour=hour, part=part.leaf) as attempt:
        attempt.write(of_ledger, "part-0000.parquet")
        attempt.publish()
    bounced, other = rows.to_pylist()
    at_us = int((NOW - timedelta(hours=1)).timestamp() * 1e6)
    hard = Event("e1", bounced["dispatch_id"], "bounced", at_us, "hard")
    soft = Event("e2", other["dispatch_id"], "bounced", at_us, "4.2.2")
    Journal(lake.store).keep([hard, soft], NOW)
    assert fold(lake, NOW) == {"receipts": 2, "suppressions": 1, "waiting": 0, "unknown": 0}
    (entry,) = lake.read_log("suppressions").to_pylist()
    assert (entry["user_id"], entry["channel"], entry["reason"]) == (bounced["user_id"], "email", "gone")
    assert entry["address_hash"] == address_hash(address_key(lake.store), "email", bounced["address"])
