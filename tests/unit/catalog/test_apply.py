"""apply: idempotent, and all or nothing.

tests/unit/catalog/test_apply_mistakes.py has what it refuses.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from angelia.catalog.apply import InvalidDocuments, as_yaml, carry_out, plan
from angelia.catalog.documents import canonical, parse_document
from angelia.catalog.store import CatalogStore
from angelia.errors import Conflict, InvalidInput

Write = Callable[..., Path]
AT = datetime(2026, 11, 14, 12, tzinfo=UTC)


def apply(store: CatalogStore, *paths: Path, prune: bool = False, actor: str = "ann") -> dict[str, list[str]]:
    planned = plan(store, list(paths), prune=prune)
    carry_out(store, planned, actor=actor, at=AT)
    return {
        action: planned.having(action)
        for action in ("created", "changed", "removed", "unchanged", "kept")
        if planned.having(action)
    }


def test_a_second_apply_changes_nothing(store: CatalogStore, write: Write) -> None:
    folder = write()
    assert len(apply(store, folder)["created"]) == 10
    trail = store.audit()
    assert apply(store, folder) == {
        "unchanged": [f"{head.kind}/{head.id}" for head in store.heads().values()]
    }
    assert store.audit() == trail


def test_the_order_of_documents_and_files_does_not_matter(
    store: CatalogStore, write: Write, tmp_path: Path
) -> None:
    folder = write()
    apply(store, folder)
    turned = tmp_path / "turned"
    (turned / "deep").mkdir(parents=True)
    documents = (folder / "all.yaml").read_text().split("---\n")
    for i, text in enumerate(reversed(documents)):
        (turned / "deep" / f"{i}.yml").write_text(text)
    assert set(apply(store, turned)) == {"unchanged"}


def test_a_change_shows_its_difference_and_makes_a_version(store: CatalogStore, write: Write) -> None:
    apply(store, write())
    planned = plan(store, [write(("value_per_open: 0.05", "value_per_open: 0.07"))])
    (changed,) = [item for item in planned.items if item.action == "changed"]
    assert [line for line in changed.diff.splitlines() if line[0] in "+-"] == [
        "--- campaign/sale@1",
        "+++ campaign/sale@2",
        "-value_per_open: 0.05",
        "+value_per_open: 0.07",
    ]
    assert store.get("campaign", "sale").version == 1  # planning writes nothing
    carry_out(store, planned, actor="bob", at=AT)
    head = store.get("campaign", "sale")
    assert (head.version, head.actor) == (2, "bob")
    assert [(item.version, item.action, item.changed) for item in store.history("campaign", "sale")] == [
        (1, "created", ()),
        (2, "changed", ("value_per_open",)),
    ]


def test_documents_in_no_file_stay_unless_pruned(store: CatalogStore, write: Write) -> None:
    apply(store, write())
    without = write(
        ("kind: audience\nid: everyone\n", "kind: audience\nid: all_people\n"),
        ("in_audience('everyone')", "in_audience('all_people')"),
    )
    assert apply(store, without)["kept"] == ["audience/everyone"]
    assert apply(store, without, prune=True)["removed"] == ["audience/everyone"]
    assert ("audience", "everyone") not in {stored.key for stored in store.current()}
    assert [item.action for item in store.history("audience", "everyone")] == ["created", "removed"]


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n"])
def test_a_file_without_a_document_is_named(store: CatalogStore, write: Write, text: str) -> None:
    folder = write()
    blank = folder / "zz_blank.yaml"
    blank.write_text(text, "utf-8")
    assert plan(store, [folder]).warnings[0] == f"{blank}: holds no document"
    with pytest.raises(InvalidInput, match="--prune would remove what it held"):
        plan(store, [folder], prune=True)


def test_pruning_what_is_still_needed_is_refused(store: CatalogStore, write: Write, tmp_path: Path) -> None:
    apply(store, write())
    (tmp_path / "policy.yaml").write_text(write().joinpath("all.yaml").read_text().split("---\n")[0])
    kept = tmp_path / "kept.yaml"
    kept.write_text(
        (tmp_path / "policy.yaml").read_text()
        + "---\nkind: audience\nid: men\npredicate: in_audience('everyone')\n"
    )
    with pytest.raises(InvalidDocuments, match="no audience 'everyone'"):
        plan(store, [kept], prune=True)
    assert len(store.current()) == 10


def test_a_standing_document_that_a_change_breaks_is_named(
    store: CatalogStore, write: Write, tmp_path: Path
) -> None:
    apply(store, write())
    path_of_document = tmp_path / "one.yaml"
    path_of_document.write_text(
        "kind: template\nid: sale\nchannel: fcm\nvariables: {thing: {}}\nvariants: {en: {title: "
        "'{{ thing }}', body: b}}\n"
    )
    with pytest.raises(InvalidDocuments) as caught:
        plan(store, [path_of_document])
    assert (
        caught.value.problems[0]
        == "catalog: material/sale_books: fields.item: template sale declares no such variable; one of thing"
    )
    assert len(caught.value.problems) == 4


def test_a_removed_document_comes_back_under_a_new_version(store: CatalogStore, write: Write) -> None:
    apply(store, write())
    extra = "kind: audience\nid: men\npredicate: gender = 'm'\n"
    apply(store, write(more=extra))
    apply(store, write(), prune=True)
    assert apply(store, write(more=extra))["created"] == ["audience/men"]
    assert store.get("audience", "men").version == 3


def test_the_second_of_two_editors_is_told_and_nothing_is_lost(store: CatalogStore, write: Write) -> None:
    apply(store, write())
    first = plan(store, [write(("value_per_open: 0.05", "value_per_open: 0.07"))])
    second = plan(
        store, [write(("value_per_open: 0.05", "value_per_open: 0.09"), ("holdout_pct: 5", "holdout_pct: 6"))]
    )
    carry_out(store, first, actor="ann", at=AT)
    with pytest.raises(
        Conflict, match=r"campaign/sale was changed meanwhile: ann made version 2 at 2026-11-14T12:00:00"
    ):
        carry_out(store, second, actor="bob", at=AT)
    assert store.get("campaign", "sale").document == parse_document(
        {**_body(store, "sale"), "value_per_open": 0.07}
    )
    assert {entry.actor for entry in store.audit()} == {"ann"}


def test_a_change_elsewhere_since_the_check_is_a_conflict(
    store: CatalogStore, write: Write, tmp_path: Path
) -> None:
    apply(store, write())
    uses = plan(
        store,
        [write(more="kind: audience\nid: young\npredicate: in_audience('everyone') AND age_years < 30\n")],
    )
    only = tmp_path / "without.yaml"
    only.write_text(
        (
            write(
                ("in_audience('everyone') AND ", ""),
                ("kind: audience\nid: everyone", "kind: audience\nid: other"),
            )
            / "all.yaml"
        ).read_text()
    )
    apply(store, only, prune=True, actor="cleo")
    with pytest.raises(Conflict, match="cleo changed"):
        carry_out(store, uses, actor="bob", at=AT)
    assert ("audience", "young") not in store.heads()


def test_an_expected_version_that_moved_on_is_refused(store: CatalogStore, write: Write) -> None:
    apply(store, write())
    apply(store, write(("value_per_open: 0.05", "value_per_open: 0.07")))
    with pytest.raises(Conflict, match="campaign/sale: ann made version 2"):
        plan(store, [write()], expect={("campaign", "sale"): 1})
    assert plan(store, [write()], expect={("campaign", "sale"): 2}).having("changed") == ["campaign/sale"]


def test_what_show_prints_can_be_applied_again(store: CatalogStore, write: Write, tmp_path: Path) -> None:
    apply(store, write())
    again = tmp_path / "again.yaml"
    again.write_text("---\n".join(as_yaml(stored.document) for stored in store.current()), encoding="utf-8")
    assert set(apply(store, again)) == {"unchanged"}


def test_yaml_means_what_it_looks_like(store: CatalogStore, write: Write) -> None:
    folder = write(
        ("fields: {item: cameras}", "fields: {item: no}"), ("fields: {item: books}", "fields: {item: 12:30}")
    )
    apply(store, folder)
    assert [_body(store, name, "material")["fields"]["item"] for name in ("sale_camera", "sale_books")] == [
        "no",
        "12:30",
    ]


def _body(store: CatalogStore, name: str, kind: str = "campaign") -> dict[str, object]:
    document = store.get(kind, name).document
    assert document is not None
    return dict(json.loads(canonical(document)))
