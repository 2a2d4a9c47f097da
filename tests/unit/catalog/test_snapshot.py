"""Snapshots: equal catalogs give equal bytes, and what is read back is what was stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from angelia.catalog.apply import carry_out, plan
from angelia.catalog.snapshot import load_snapshot, read_snapshot, stopped_campaigns, write_snapshot
from angelia.catalog.stops import set_stopped
from angelia.catalog.store import CatalogStore
from angelia.errors import Corrupt, InvalidInput, NotFound
from angelia.lake import Lake

AT = datetime(2026, 11, 14, 12, tzinfo=UTC)
DS = "2026-11-14"


@pytest.fixture
def filled(store: CatalogStore, write: Callable[..., Path]) -> CatalogStore:
    carry_out(store, plan(store, [write()]), actor="ann", at=AT)
    return store


def test_a_snapshot_reads_back_as_the_catalog(lake: Lake, filled: CatalogStore) -> None:
    commit = write_snapshot(lake, filled, DS)
    catalog = load_snapshot(lake, DS)
    assert commit.rows == 10
    everything = {**catalog.campaigns, **catalog.materials, **catalog.channels, **catalog.experiments}
    assert sorted(everything) == ["copy", "fcm", "sale", "sale_books", "sale_camera", "sms"]
    assert catalog.campaigns["sale"] == filled.get("campaign", "sale").document
    assert catalog.policy.salt == "s"
    assert catalog.template_of("sale_books")[0].id == "sale"
    assert catalog.versions["campaign", "sale"] == 1
    assert catalog.commit == commit


def test_equal_catalogs_give_equal_files(lake: Lake, filled: CatalogStore, tmp_path: Path) -> None:
    other = Lake.open(str(tmp_path / "other lake"))
    first, second, third = (
        write_snapshot(lake, filled, DS),
        write_snapshot(lake, filled, DS),
        write_snapshot(other, filled, DS),
    )
    assert first.files[0].sha256 == second.files[0].sha256 == third.files[0].sha256
    assert first.params == second.params == third.params


def test_a_changed_catalog_gives_other_parameters(
    lake: Lake, filled: CatalogStore, write: Callable[..., Path]
) -> None:
    first = write_snapshot(lake, filled, DS)
    carry_out(filled, plan(filled, [write(("holdout_pct: 5", "holdout_pct: 6"))]), actor="ann", at=AT)
    second = write_snapshot(lake, filled, DS)
    assert second.params != first.params
    assert second.number == first.number + 1
    assert read_snapshot(lake, first).campaigns["sale"].holdout_pct == 5
    assert load_snapshot(lake, DS).campaigns["sale"].holdout_pct == 6


def test_campaigns_run_by_date_weekday_and_stop(lake: Lake, filled: CatalogStore) -> None:
    def running(*days: str) -> list[str]:
        write_snapshot(lake, filled, DS)
        return list(load_snapshot(lake, DS).running(date.fromisoformat(day) for day in days))

    assert running("2026-11-15", "2026-11-16") == ["sale"]  # Sunday, Monday
    assert running("2026-11-16") == []
    assert running("2036-12-06") == []  # a Saturday after its end
    set_stopped(lake, filled, "sale", "stop", actor="ann", at=AT, reason="wrong price")
    assert running("2026-11-15") == []
    assert load_snapshot(lake, DS).stopped == {"sale"}


def test_stops_are_in_the_log_and_in_the_trail(lake: Lake, filled: CatalogStore) -> None:
    assert set_stopped(lake, filled, "sale", "stop", actor="ann", at=AT, reason="wrong price")
    assert not set_stopped(lake, filled, "sale", "stop", actor="bob", at=AT, reason="again")
    assert stopped_campaigns(lake) == {"sale"}
    assert set_stopped(
        lake, filled, "sale", "resume", actor="bob", at=AT, reason=None
    )  # at the same instant: the later entry holds
    assert stopped_campaigns(lake) == set()
    log = lake.read_log("stops").to_pylist()
    assert [(row["campaign_id"], row["action"], row["actor"], row["reason"]) for row in log] == [
        ("sale", "stop", "ann", "wrong price"),
        ("sale", "resume", "bob", None),
    ]
    assert [(entry.action, entry.actor, entry.detail) for entry in filled.audit("campaign", "sale")][1:] == [
        ("stop", "ann", "wrong price"),
        ("resume", "bob", None),
    ]


def test_materials_of_a_campaign_include_those_of_its_arms(lake: Lake, filled: CatalogStore) -> None:
    write_snapshot(lake, filled, DS)
    catalog = load_snapshot(lake, DS)
    assert catalog.materials_of("sale") == ["sale_books", "sale_camera"]
    fewer = catalog.campaigns["sale"].model_copy(update={"materials": ("sale_books",), "experiment": "copy"})
    arm = catalog.experiments["copy"].arms[0].model_copy(update={"materials": ("sale_camera",)})
    copy = catalog.experiments["copy"].model_copy(update={"arms": (arm,)})
    older = replace(catalog, campaigns={"sale": fewer}, experiments={"copy": copy})
    assert older.materials_of("sale") == ["sale_books", "sale_camera"]


def test_what_cannot_be_stopped(lake: Lake, filled: CatalogStore) -> None:
    with pytest.raises(NotFound, match="no campaign 'sail'"):
        set_stopped(lake, filled, "sail", "stop", actor="ann", at=AT, reason="x")
    with pytest.raises(InvalidInput, match="needs a reason"):
        set_stopped(lake, filled, "sale", "stop", actor="ann", at=AT, reason=" ")
    with pytest.raises(InvalidInput, match="on main only"):
        set_stopped(Lake(lake.store, "replay-1"), filled, "sale", "stop", actor="ann", at=AT, reason="x")
    assert lake.read_log("stops").num_rows == 0


def test_a_stopped_campaign_that_was_removed_can_be_resumed(
    lake: Lake, filled: CatalogStore, write: Callable[..., Path]
) -> None:
    set_stopped(lake, filled, "sale", "stop", actor="ann", at=AT, reason="x")
    renamed = write(("kind: campaign\nid: sale", "kind: campaign\nid: sale_two"))
    carry_out(filled, plan(filled, [renamed], prune=True), actor="ann", at=AT)
    assert set_stopped(lake, filled, "sale", "resume", actor="ann", at=AT, reason=None)


def test_without_a_snapshot_or_a_policy(lake: Lake, store: CatalogStore) -> None:
    with pytest.raises(NotFound, match="angelia catalog snapshot"):
        load_snapshot_line(lake)
    with pytest.raises(InvalidInput, match="the catalog has no policy"):
        write_snapshot(lake, store, DS)
    assert lake.head("catalog_snapshot", ds=DS) is None


def load_snapshot_line(lake: Lake) -> None:
    try:
        load_snapshot(lake, DS)
    except NotFound as error:
        raise NotFound(error.one_line()) from None


def test_a_row_that_is_no_document_is_corrupt(lake: Lake, filled: CatalogStore) -> None:
    commit = write_snapshot(lake, filled, DS)
    table = lake.read(commit)
    broken = table.set_column(3, table.schema.field("body"), [["{}"] * len(table)])
    with lake.attempt("catalog_snapshot", ds=DS) as attempt:
        attempt.write(broken, "documents.parquet")
        attempt.publish()
    with pytest.raises(Corrupt, match="does not follow its model"):
        load_snapshot(lake, DS)
