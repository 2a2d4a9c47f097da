"""Saved audiences: those of now before those of the night, and saving like an apply."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from tempfile import gettempdir

import pytest
import yaml

from angelia.audience.holdout import Holdout
from angelia.catalog.apply import carry_out, plan
from angelia.catalog.saved_audiences import (
    holdout_of,
    night_predicates,
    save_audience,
    saved_audiences,
    saved_predicates,
)
from angelia.catalog.store import CatalogStore
from angelia.errors import InvalidInput
from angelia.lake import Lake
from tests.planned_night import DS, EVERYONE, POLICY, plan_a_night

AT = datetime(2026, 11, 15, 9, tzinfo=UTC)


@pytest.fixture
def filled(tmp_path: Path) -> CatalogStore:
    """Return a catalog with a policy and one audience."""
    store = CatalogStore.open(f"sqlite:///{tmp_path}/catalog.db")
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump_all([POLICY, EVERYONE | {"description": "all"}]))
    carry_out(store, plan(store, [path]), actor="ann", at=AT)
    return store


def save(
    store: CatalogStore, lake: Lake, name: str, predicate: str, words: str | None = None
) -> tuple[str, int]:
    return save_audience(store, lake, name, predicate, words, actor="bob", at=AT)


def test_the_catalogs_audiences_count_before_the_nights(
    filled: CatalogStore, lake: Lake, tmp_path: Path
) -> None:
    plan_a_night(lake)
    assert night_predicates(lake, DS) == {"everyone": "reachable('fcm')"}
    save(filled, lake, "everyone", "TRUE")
    assert saved_predicates(filled, lake, DS) == {"everyone": "TRUE"}
    empty = CatalogStore.open(f"sqlite:///{tmp_path}/empty.db")
    assert saved_predicates(empty, lake, DS) == {"everyone": "reachable('fcm')"}


def test_without_a_snapshot_there_is_no_holdout(lake: Lake) -> None:
    assert (holdout_of(lake, DS), night_predicates(lake, DS)) == (None, {})
    plan_a_night(lake)
    assert holdout_of(lake, DS) == Holdout(0.0, "h")


def test_an_audience_keeps_its_words_unless_others_are_given(filled: CatalogStore, lake: Lake) -> None:
    assert save(filled, lake, "young", "age_years < 30 AND in_audience('everyone')") == ("created", 1)
    assert save(filled, lake, "everyone", "TRUE") == ("changed", 2)
    assert save(filled, lake, "everyone", "TRUE") == ("unchanged", 2)
    assert saved_audiences(filled)["everyone"].description == "all"
    assert save(filled, lake, "everyone", "TRUE", "anybody") == ("changed", 3)
    assert saved_audiences(filled)["everyone"].description == "anybody"


@pytest.mark.parametrize(
    ("name", "predicate", "says"),
    [
        ("young", "age_year < 30", "unknown field 'age_year'"),
        ("young", "in_audience('young')", "cycle"),
        ("young", "in_list('vip')", "no list 'vip'"),
        ("../young", "TRUE", "line "),
    ],
)
def test_a_wrong_audience_saves_nothing(
    filled: CatalogStore, lake: Lake, name: str, predicate: str, says: str
) -> None:
    with pytest.raises(InvalidInput, match=says) as refused:
        save(filled, lake, name, predicate)
    assert gettempdir() not in refused.value.one_line()
    assert set(saved_audiences(filled)) == {"everyone"}
