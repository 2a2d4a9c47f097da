"""A document edited as text: problems at their line, nothing overwritten."""

from __future__ import annotations

from datetime import UTC, date, datetime
from tempfile import gettempdir

import pytest

from angelia.catalog.store import CatalogStore
from angelia.console.editing import TEXT_BYTES_AT_MOST, check, copy_of, difference, save, yaml_of
from angelia.errors import Conflict

TODAY, NOW = date(2026, 11, 15), datetime(2026, 11, 15, 9, 30, tzinfo=UTC)
KEY = ("campaign", "price_drop")


@pytest.fixture
def store(catalog_of) -> CatalogStore:
    return catalog_of("sample")


def text_of(store: CatalogStore) -> str:
    return yaml_of(store.get(*KEY))


def test_a_change_is_checked_shown_and_saved(store: CatalogStore) -> None:
    text = text_of(store).replace("name: Price drop", "name: Prices fall")
    edit = check(store, text, 1, KEY, TODAY)
    assert edit.can_be_saved
    assert "+name: Prices fall" in edit.diff
    assert text_of(store) != text, "nothing is written before it is saved"
    assert save(store, edit, actor="ada", at=NOW) == KEY
    assert text_of(store) == text
    assert not check(store, text, 2, KEY, TODAY).can_be_saved


def test_a_mistake_stands_at_its_line_of_the_text(store: CatalogStore) -> None:
    text = text_of(store).replace("priority: ", "priorty: ")
    (problem,) = [line for line in check(store, text, 1, KEY, TODAY).problems if "priorty" in line]
    number = text[: text.index("priorty")].count("\n") + 1
    assert problem.startswith(f"line {number}:")
    assert gettempdir() not in problem


def test_a_page_saves_its_own_document_alone(store: CatalogStore) -> None:
    other = yaml_of(store.get("campaign", "win_back")).replace("name: ", "name: New ", 1)
    for text in (other, text_of(store).replace("name: ", "name: New ", 1) + "\n---\n" + other):
        edit = check(store, text, 1, KEY, TODAY)
        assert not edit.can_be_saved
        assert edit.problems[0].startswith("this page saves campaign/price_drop alone")


def test_a_new_document_does_not_take_a_name_in_use(store: CatalogStore) -> None:
    changed = text_of(store).replace("name: ", "name: New ", 1)
    assert check(store, changed, 0, None, TODAY).problems == (
        "campaign/price_drop is there already; open it to change it",
    )
    edit = check(store, copy_of(store.get(*KEY)), 0, None, TODAY)
    assert (edit.key, edit.can_be_saved) == (("campaign", "price_drop_copy"), True)


def test_whoever_is_second_sees_what_the_first_changed(store: CatalogStore) -> None:
    text = text_of(store)
    first = check(store, text.replace("name: Price drop", "name: First"), 1, KEY, TODAY)
    second = check(store, text.replace("name: Price drop", "name: Second"), 1, KEY, TODAY)
    save(store, first, actor="ada", at=NOW)
    with pytest.raises(Conflict):
        save(store, second, actor="bob", at=NOW)
    late = check(store, text.replace("name: Price drop", "name: Second"), 1, KEY, TODAY)
    assert late.conflict is not None
    assert "ada" in late.conflict
    assert "+name: First" in late.theirs
    assert (late.head.version if late.head else None) == 2


def test_a_text_has_its_bounds(store: CatalogStore) -> None:
    edit = check(store, "é" * (TEXT_BYTES_AT_MOST // 2 + 1), 1, KEY, TODAY)
    assert edit.problems == ("a document has at most 200,000 bytes",)
    assert difference("a\nb", "a\nb", ("1", "2")) == ""
    assert difference("a\nb", "a\nc", ("1", "2")).splitlines()[-2:] == ["-b", "+c"]
