"""A document edited as YAML: checked like `catalog apply`, compared, saved or refused.

Reads and writes the catalog's store. Grain: one document. Surprise: whoever saves names the version they
began with; if somebody else saved meanwhile, nothing is written, and the page shows who, when, and what
they changed.
"""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from angelia.catalog.apply import ApplyPlan, InvalidDocuments, as_yaml, carry_out, plan
from angelia.catalog.checking import sense
from angelia.catalog.documents import AnyDocument, Campaign, parse_document
from angelia.catalog.preview import standing
from angelia.catalog.problems import Key, Notice
from angelia.catalog.store import CatalogStore, Head, Version
from angelia.console.phones import Shown, shown, shown_with
from angelia.errors import AngeliaError, Conflict, InvalidInput
from angelia.planning import limits

TEXT_BYTES_AT_MOST = 200_000
FILE = "document.yaml"


@dataclass(frozen=True)
class Edit:
    """What became of a text: problems, or a difference to save.

    `theirs` is what somebody else changed meanwhile, `head` the version that they made.
    """

    key: Key | None = None
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    diff: str = ""
    planned: ApplyPlan | None = None
    conflict: str | None = None
    theirs: str = ""
    head: Head | None = None

    @property
    def can_be_saved(self) -> bool:
        """Whether it is right, and changes something."""
        return self.planned is not None and bool(self.diff)


def yaml_of(head: Head) -> str:
    """Return a document as YAML; the version it was made from travels beside the text."""
    return as_yaml(head.document)


def yaml_of_version(version: Version) -> str:
    """Return a past state of a document as YAML, even if it no longer follows its model."""
    if version.body is None:
        return ""
    try:
        return as_yaml(parse_document(version.body))
    except InvalidInput:
        import yaml

        return str(yaml.safe_dump(version.body, sort_keys=False, allow_unicode=True, width=140))


def difference(before: str, after: str, names: tuple[str, str]) -> str:
    """Return the lines that differ between two texts; nothing for equal ones."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="")
    return "\n".join(lines)


def check(store: CatalogStore, text: str, made_from: int, key: Key | None, today: date) -> Edit:
    """Return what saving a text would do; nothing is written.

    Args:
        text: one document as YAML.
        made_from: the version it was made from, 0 for a new one.
        key: the document that is edited; None for a new one.
    """
    if len(text.encode("utf-8", "replace")) > TEXT_BYTES_AT_MOST:
        return Edit(key, (f"a document has at most {TEXT_BYTES_AT_MOST:,} bytes",))

    def look(documents: Mapping[Key, AnyDocument]) -> Iterator[Notice]:
        yield from sense.notices(documents, today)
        yield from limits.notices(documents, today)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        path.write_bytes(text.encode("utf-8", "replace"))

        def placed(words: str) -> str:
            return words.replace(f"{path}:", "line ").replace(str(path), "this text")

        try:
            planned = plan(store, [path], look=look, expect={key: made_from} if key else None)
        except InvalidDocuments as error:
            return Edit(key, tuple(map(placed, error.problems)))
        except Conflict as error:
            return _conflict(store, key, made_from, error)
        except AngeliaError as error:
            return Edit(key, (placed(error.one_line()),))
        warnings = tuple(map(placed, planned.warnings))
    named = [item for item in planned.items if item.action != "kept"]
    # One page, one document: a second one in the text would be saved without having been shown.
    if len(named) != 1 or (key is not None and (named[0].kind, named[0].id) != key):
        wanted = f"{key[0]}/{key[1]} alone" if key else "one new document"
        there = ", ".join(f"{item.kind}/{item.id}" for item in named)
        return Edit(key, (f"this page saves {wanted}, the text names {there}",))
    item = named[0]
    # A new document under a name in use would overwrite what nobody opened here.
    if key is None and item.action != "created":
        return Edit(key, (f"{item.kind}/{item.id} is there already; open it to change it",))
    return Edit((item.kind, item.id), (), warnings, item.diff, planned)


def _conflict(store: CatalogStore, key: Key | None, made_from: int, error: Conflict) -> Edit:
    """Return who changed the document since, and what."""
    if key is None:
        return Edit(key, (error.one_line(),))
    head = store.heads(tolerant=True).get(key)
    versions = {version.version: version for version in store.history(*key)}
    newest = head.version if head else 0
    before, after = versions.get(made_from), versions.get(newest)
    theirs = difference(
        yaml_of_version(before) if before else "",
        yaml_of_version(after) if after else "",
        (f"version {made_from}", f"version {newest}"),
    )
    return Edit(key, conflict=error.message, theirs=theirs, head=head)


def save(store: CatalogStore, edit: Edit, *, actor: str, at: datetime) -> Key:
    """Write what was checked, or nothing; return the document's key.

    Raises:
        Conflict: the catalog changed since it was checked.
    """
    assert edit.planned is not None
    assert edit.key is not None
    carry_out(store, edit.planned, actor=actor, at=at)
    return edit.key


def messages_of(store: CatalogStore, edit: Edit) -> list[Shown]:
    """Return what the messages made with an edited document would say, before it is saved.

    Nothing for documents that say nothing, or that were refused.
    """
    if edit.planned is None or edit.key is None:
        return []
    change = next((item.change for item in edit.planned.items if (item.kind, item.id) == edit.key), None)
    if change is None or change.document is None:
        return []
    documents = standing(store) | {edit.key: change.document}
    if isinstance(change.document, Campaign):
        return shown(documents, change.document)
    return shown_with(documents, *edit.key) if edit.key[0] in ("material", "template") else []


def copy_of(head: Head) -> str:
    """Return a document's YAML under another name, to begin a new one with."""
    text = as_yaml(head.document)
    return text.replace(f"\nid: {head.id}\n", f"\nid: {head.id}_copy\n", 1)
