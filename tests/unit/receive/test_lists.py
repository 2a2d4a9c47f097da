"""What a phone tells of a list and its token is led back to its dispatch."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from angelia.contracts.ids import is_list, list_id, listed_id
from angelia.delivery.manifest import parts, sample_plan
from angelia.lake import Lake
from angelia.receive.finding import lists as room
from angelia.receive.finding.lists import Lists
from angelia.receive.finding.runs import Runs
from angelia.receive.folding import Folding, fold
from angelia.receive.journal import Journal, parse
from tests.unit.delivery.given import DS, HOUR
from tests.unit.receive.callers import NOW, body_of, event, receipts


def names_of(lake: Lake) -> dict[str, str]:
    """Return the dispatches of a plan by the names that their phones make."""
    rows = lake.read(lake.require("dispatch_manifest", ds=DS)).to_pylist()
    return {
        listed_id(str(list_id(row["campaign_id"], row["occurrence"], row["channel"])), row["address"]): str(
            row["dispatch_id"]
        )
        for row in rows
    }


def by_lists(lake: Lake, n: int = 3, channel: str = "fcm") -> dict[str, str]:
    sample_plan.make(lake, DS, n, changes={"channel": channel})
    parts.seal(lake, DS, HOUR, "now")
    lake.store.create(f"lists/{DS}/{channel}", b"")
    return names_of(lake)


def answers(index: Lists, names: Any, after: timedelta = timedelta()) -> dict[str, str]:
    counts = Counter[str]()
    answer = index.of({*names}, NOW + after, counts)
    assert not counts
    return answer


def test_a_name_leads_to_its_dispatch(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = by_lists(lake)
    # A part is read once for the index; one that is asked about later is read once more.
    index = Lists(lake, tmp_path)
    assert answers(index, {*names, "0" * 32}) == names
    later = Lists(lake, tmp_path)
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(room.Adding, "add", lambda *_: pytest.fail("a part was read again for the index"))
        assert answers(later, names) == names
    monkeypatch.setattr(Lists, "_named", lambda *_: pytest.fail("a part that is held was read again"))
    assert answers(later, list(names)[:1]) == dict(list(names.items())[:1])
    assert not (tmp_path / "manifest").exists()


def test_a_lake_without_lists_is_asked_for_them_once_a_minute(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, asked = Lists(lake), list[str]()
    own = lake.store.children
    monkeypatch.setattr(
        type(lake.store), "children", lambda _, prefix: [asked.append(prefix), own(prefix)][1]
    )
    for seconds in (0, 59, 60):
        assert answers(index, ["0" * 32], timedelta(seconds=seconds)) == {}
    assert asked == ["lists", "lists"]


def test_what_is_sealed_later_is_found_within_a_minute(lake: Lake) -> None:
    sample_plan.make(lake, DS, 2)
    names, index = names_of(lake), Lists(lake)
    lake.store.create(f"lists/{DS}/fcm", b"")
    assert answers(index, names) == {}, "the hour is not sealed"
    parts.seal(lake, DS, HOUR, "now")
    assert answers(index, names, timedelta(seconds=59)) == {}
    assert answers(index, names, timedelta(seconds=60)) == names
    assert answers(index, names, timedelta(days=30)) == {}, "nobody answers any more"


def test_channels_that_sent_no_lists_are_not_read(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    names = by_lists(lake, channel="apns")
    lake.store.delete(f"lists/{DS}/apns")
    lake.store.create(f"lists/{DS}/huawei", b"")
    monkeypatch.setattr(Lists, "_named", lambda *_: pytest.fail("a part of another channel was read"))
    assert answers(Lists(lake), names) == {}


def test_only_so_many_rows_are_held(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_HELD_ROWS", 3)
    sample_plan.make(lake, DS, 6, part_rows=2)
    parts.seal(lake, DS, HOUR, "now")
    lake.store.create(f"lists/{DS}/fcm", b"")
    index, names = Lists(lake), names_of(lake)
    assert answers(index, names) == names
    assert sum(len(held) for held, _ in index._held.values()) == 2


def test_a_prefix_alone_is_nobodys(lake: Lake) -> None:
    names = by_lists(lake)
    (first, *_) = names
    assert answers(Lists(lake), [first[:16] + "0" * 16]) == {}


def test_a_phones_open_becomes_a_receipt_of_its_dispatch(bench: Any, tmp_path: Path) -> None:
    lake = bench.lake
    bench.plan(3)
    bench.deliver()
    lake.store.create(f"lists/{DS}/fcm", b"")
    names, journal, folding = names_of(lake), Journal(lake.store), Folding(lake, tmp_path)
    mine = next(iter(names))
    for _ in range(2):  # the second time nothing changes
        events, refused = parse(body_of(event(mine), event("0" * 32)), NOW)
        assert not refused
        journal.keep(events, NOW)
        counts = folding.fold(NOW)
        assert counts["unknown"] == 1
    assert [row["dispatch_id"] for row in receipts(lake)] == [names[mine]]
    # By the dispatch's own id it would be the same receipt.
    events, _ = parse(body_of(event(names[mine])), NOW)
    journal.keep(events, NOW)
    assert fold(lake, NOW)["receipts"] == 0


def test_an_opt_out_by_a_list_closes_the_channel(bench: Any) -> None:
    lake = bench.lake
    bench.plan(2)
    bench.deliver()
    lake.store.create(f"lists/{DS}/fcm", b"")
    names = names_of(lake)
    events, _ = parse(body_of(event(next(iter(names)), "unsubscribed")), NOW)
    Journal(lake.store).keep(events, NOW)
    assert fold(lake, NOW)["suppressions"] == 1
    (entry,) = lake.read_log("suppressions").to_pylist()
    rows = {str(row["dispatch_id"]): row for row in bench.ledger().values()}
    assert entry["user_id"] == rows[names[next(iter(names))]]["user_id"]


def test_a_lists_id_has_a_form_of_its_own() -> None:
    shared = str(list_id("price_drop", "2026-11-15", "huawei"))
    assert is_list(shared)
    assert len(shared.encode()) <= 64, "Huawei's biTag"
    assert not any(map(is_list, ("a" * 32, "l-" + "a" * 31, "l-" + "g" * 32, "l-" + "a" * 33, "")))
    assert listed_id(shared, "t1") == listed_id(shared, "t1") != listed_id(shared, "t2")
    assert list_id("price_drop", "2026-11-15", "xiaomi") != shared


def test_a_damaged_index_is_made_anew(lake: Lake, tmp_path: Path) -> None:
    names = by_lists(lake)
    assert answers(Lists(lake, tmp_path), names) == names
    (run,) = (tmp_path / "list" / DS).glob("*.run")
    run.write_bytes(b"damaged")
    assert Runs(tmp_path / "list" / DS).places == set()
    assert answers(Lists(lake, tmp_path), names) == names
