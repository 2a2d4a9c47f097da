"""apply refuses mistakes: all of them at once, with file and line; it writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from angelia.catalog.apply import InvalidDocuments, carry_out, plan
from angelia.catalog.store import CatalogStore
from angelia.errors import InvalidInput

Write = Callable[..., Path]
AT = datetime(2026, 11, 14, 12, tzinfo=UTC)

# What is wrong -> the edit that makes it so, and the one line it must give.
WRONG: dict[str, tuple[list[tuple[str, str]], str]] = {
    "unknown field": (
        [('predicate: "reachable', 'predicat: "reachable')],
        "audience/everyone: predicat: unknown field; did you mean predicate?",
    ),
    "unknown kind": (
        [("kind: experiment", "kind: experimnt")],
        "experimnt/copy: kind: unknown kind 'experimnt'; did you mean experiment?",
    ),
    "unknown audience": (
        [("audience: women", "audience: woman")],
        "campaign/sale: audience: no audience 'woman'; did you mean women?",
    ),
    "unknown material": (
        [("[sale_camera, sale_books]", "[sale_camera, sale_book]")],
        "materials[1]: no material 'sale_book'; did you mean sale_books?",
    ),
    "unknown template": (
        [("template: sale\ncategory: camera", "template: sales\ncategory: camera")],
        "template: no template 'sales'; did you mean sale?",
    ),
    "unknown experiment": (
        [("experiment: copy", "experiment: coyp")],
        "experiment: no experiment 'coyp'; did you mean copy?",
    ),
    "undeclared channel": (
        [("[fcm, sms]", "[fcm, email]")],
        "channels[1]: no channel 'email'; one of fcm, sms",
    ),
    "impossible channel": (
        [("[fcm, sms]", "[fcm, Fax]")],
        "channels[1]: string should match pattern '^[a-z][a-z0-9_]{0,31}$', got 'Fax'",
    ),
    "template for other channels": (
        [("channel: fcm\nvar", "channel: sms\nvar"), ("[fcm, sms]", "[fcm]")],
        "sale_camera's template sale is for sms, the campaign for fcm",
    ),
    "material twice": (
        [("[sale_camera, sale_books]", "[sale_books, sale_books]")],
        "materials: ['sale_books'] is named twice",
    ),
    "arm material elsewhere": (
        [("materials: [sale_camera, sale_books]", "materials: [sale_camera]")],
        "experiment: arm b of copy names sale_books, which is not among",
    ),
    "arm material unknown": (
        [("materials: [sale_books]}", "materials: [sale_bookz]}")],
        "experiment/copy: arms[1].materials[0]: no material 'sale_bookz'",
    ),
    "arm shares": (
        [("{name: a, share_pct: 50}", "{name: a, share_pct: 40}")],
        "experiment/copy: arms: shares sum to 90, not to 100",
    ),
    "arm twice": ([("{name: b, ", "{name: a, ")], "['a'] is named twice"),
    "predicate syntax": ([("gender = 'f'", "gender == = 'f'")], "audience/women: predicate:"),
    "predicate field": ([("gender = 'f'", "gendre = 'f'")], "unknown field 'gendre'"),
    "unknown in_audience": (
        [("in_audience('everyone')", "in_audience('everybody')")],
        "no audience 'everybody'",
    ),
    "audience cycle": ([("reachable('fcm')", "in_audience('women')")], "cycle: "),
    "undeclared variable": (
        [("{{ item }} for less", "{{ itme }} for less")],
        "template/sale: variants.en.body: variable 'itme' is not declared; did you mean item?",
    ),
    "variable in the link": (
        [("{{ category }}?c", "{{ section }}?c")],
        "template/sale: link: variable 'section' is not declared",
    ),
    "liquid syntax": ([("{% endif %}", "")], "template/sale: variants.en.body: liquid:"),
    "liquid include": (
        [("{{ item }} im Angebot", "{% include 'x' %}")],
        "variants.de.body: liquid: unexpected tag 'include'",
    ),
    "liquid filter": (
        [("{{ item }} im Angebot", "{{ item | exec }}")],
        "variants.de.body: liquid: unknown filter 'exec'",
    ),
    "a default is needed": (
        [(", default: 0}", "}")],
        "variables.level: needs a default: user.membership_level is unknown for some people",
    ),
    "source is no column": (
        [("user.membership_level", "user.memberlevel")],
        "variables.level.source: user_features has no column 'memberlevel' for this; did you mean",
    ),
    "source is personal": (
        [("user.membership_level", "user.user_id")],
        "user_features has no column 'user_id' for this",
    ),
    "builtin declared": (
        [("{item: {}, ", "{item: {}, campaign_id: {}, ")],
        "variables.campaign_id: is always there and cannot be declared",
    ),
    "material misses a variable": (
        [("fields: {item: cameras}", "fields: {}")],
        "material/sale_camera: fields: template sale needs item: no field here",
    ),
    "field of no variable": (
        [("fields: {item: cameras}", "fields: {item: cameras, colour: red}")],
        "fields.colour: template sale declares no such variable",
    ),
    "field is a list": (
        [("fields: {item: cameras}", "fields: {item: [cameras]}")],
        "fields.item: should be a text or a number",
    ),
    "no variant for a locale": (
        [("fields: {item: cameras}", "fields: {item: cameras}\nlocales: [de-AT, fr]")],
        "locales[1]: template sale has no variant for fr (there are en, de)",
    ),
    "bad locale": ([("  de: {title", "  german: {title")], "variants.german: string should match pattern"),
    "no default variant": (
        [("  en: {title", "  fr: {title")],
        "default_locale en has no variant (there are fr, de)",
    ),
    "link to a script": (
        [("https://shop.example/{{ category }}", "javascript://x/{{ category }}")],
        "material/sale_books: template: cannot be rendered with sale in en: invalid_link",
    ),
    "an empty text": ([('"Angebot: {{ item }}"', '" "')], "cannot be rendered with sale in de: empty:title"),
    "end before start": (
        [("end_date: 2036-11-30", "end_date: 2026-10-30")],
        "campaign/sale: end_date 2026-10-30 is before start_date 2026-11-01",
    ),
    "no such day": ([("end_date: 2036-11-30", "end_date: 2026-11-31")], "end_date: should be a valid date"),
    "window order": (
        [("{start: 9, end: 21}", "{start: 21, end: 9}")],
        "send_window: end 9 is not after start 21",
    ),
    "hour range": (
        [("{start: 9, end: 21}", "{start: 9, end: 25}")],
        "send_window.end: should be less than or equal to 24, got 25",
    ),
    "holdout range": (
        [("holdout_pct: 5", "holdout_pct: 105")],
        "holdout_pct: should be less than or equal to 100, got 105",
    ),
    "weekday": ([("[sat, sun]", "[sat, sunday]")], "occurrence.weekdays[1]: should be 'mon',"),
    "text for a number": (
        [("value_per_open: 0.05", "value_per_open: '0.05'")],
        "value_per_open: should be a valid number, got '0.05'",
    ),
    "not a number": (
        [("value_per_open: 0.05", "value_per_open: .nan")],
        "value_per_open: should be a valid number, got '.nan'",
    ),
    "transactional holdout": (
        [("holdout_pct: 5", "holdout_pct: 5\nguarantee: at_least_once")],
        "a transactional campaign (at_least_once) has no holdout",
    ),
    "second policy": (
        [("kind: policy\nid: default", "kind: policy\nid: other")],
        "policy/other: id: should be 'default', got 'other'",
    ),
    "id": (
        [("kind: experiment\nid: copy", "kind: experiment\nid: Copy-1")],
        "id: string should match pattern",
    ),
    "id twice": ([("id: women", "id: everyone")], "audience/everyone: id: is given twice, first in"),
    "key twice": ([("owner: growth", "owner: growth\nowner: other")], "owner is given twice"),
    "yaml syntax": ([("weekdays: [sat, sun]", "weekdays: [sat, sun")], "YAML: while parsing a flow"),
    "yaml alias": ([("owner: growth", "owner: &x growth\nname: *x")], "aliases (*name) are not accepted"),
    "yaml tag": (
        [("owner: growth", "owner: !!python/object/apply:os.system [id]")],
        "YAML: could not determine a constructor",
    ),
    "not a mapping": (
        [("kind: experiment\nid: copy\nsalt: c\narms", "- kind: [experiment]\n- ")],
        "all.yaml:",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_line_and_nothing_is_written(store: CatalogStore, write: Write, case: str) -> None:
    edits, line = WRONG[case]
    with pytest.raises(InvalidDocuments) as caught:
        carry_out(store, plan(store, [write(*edits)]), actor="ann", at=AT)
    matching = [problem for problem in caught.value.problems if line in problem]
    assert len(matching) >= 1, caught.value.problems
    assert "all.yaml:" in matching[0]
    assert all("\n" not in problem for problem in caught.value.problems)
    assert store.heads() == {}


@pytest.mark.parametrize(
    "edit",
    [
        ("audience: women", "audience: nobody"),
        ("sale_books]}]", "sale_nope]}]"),
        ("im Angebot", "{{ nope }}"),
    ],
)
def test_the_line_of_a_problem_is_that_of_its_value(
    store: CatalogStore, write: Write, edit: tuple[str, str]
) -> None:
    folder = write(edit)
    (line,) = [
        i for i, text in enumerate((folder / "all.yaml").read_text().splitlines(), 1) if edit[1] in text
    ]
    with pytest.raises(InvalidDocuments) as caught:
        plan(store, [folder])
    assert any(problem.startswith(f"{folder / 'all.yaml'}:{line}: ") for problem in caught.value.problems), (
        caught.value.problems
    )


def test_everything_wrong_is_told_at_once(store: CatalogStore, write: Write) -> None:
    folder = write(
        ("audience: women", "audience: nobody"),
        ("gender = 'f'", "gendre = 'f'"),
        ("{{ item }} im", "{{ itme }} im"),
    )
    with pytest.raises(InvalidDocuments) as caught:
        plan(store, [folder])
    assert len(caught.value.problems) == 3
    assert caught.value.one_line() == "3 problems, nothing was written"


def test_without_a_policy_there_is_no_catalog(store: CatalogStore, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("kind: audience\nid: a\npredicate: 'TRUE'\n")
    with pytest.raises(InvalidDocuments, match="there is no policy"):
        plan(store, [tmp_path / "one.yaml"])


@pytest.mark.parametrize(
    ("make", "message"),
    [("missing", "no file or folder"), ("empty", "no YAML file"), ("blank", "no document")],
)
def test_paths_without_documents_are_refused(
    store: CatalogStore, tmp_path: Path, make: str, message: str
) -> None:
    path = tmp_path / make
    if make != "missing":
        path.mkdir()
    if make == "blank":
        (path / "a.yaml").write_text("# nothing\n---\n")
    with pytest.raises(InvalidInput, match=message):
        plan(store, [path])
