"""`apply`: documents in files become the catalog's documents, all of them or none.

Everything is checked first; then all changes are made. Reads YAML files and the store, writes the store.
Documents of the catalog that no file names stay, unless `prune` is asked for. Applying the same files again
changes nothing.

Surprise: a document may name the `version` it was made from, as `catalog show` prints it; if the catalog has
a newer version, its change is a conflict. A document without a version replaces whatever the catalog holds.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml

from angelia.catalog.checking.sense import written_number
from angelia.catalog.documents import AnyDocument, canonical, check_document
from angelia.catalog.problems import DocumentProblem, Key, Notice
from angelia.catalog.store import CatalogStore, Change, Head, generation_of
from angelia.catalog.validate import Whole
from angelia.catalog.yaml_files import Raw, find_files, read_file
from angelia.errors import Conflict, InvalidInput, without_addresses

VERSION = "version"
Documents = Mapping[Key, AnyDocument]
Look = Callable[[Documents], Iterable[Notice]]
"""Looks at the whole catalog as it would be, for what rooms above this one know."""


class InvalidDocuments(InvalidInput):
    """Documents that cannot be applied; `problems` has one line for each thing that is wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(dict.fromkeys(map(without_addresses, problems)))
        count = len(self.problems)
        super().__init__(
            self.problems[0] if count == 1 else f"{count} problems, nothing was written",
            fix="nothing was written" if count == 1 else None,
        )


@dataclass(frozen=True)
class ApplyPlan:
    """What an apply would do, and the state of the catalog that it was checked against.

    `warnings` are lines for the operator; they do not block the apply.
    """

    items: tuple[PlannedChange, ...]
    generation: int
    warnings: tuple[str, ...] = ()

    def having(self, *actions: str) -> list[str]:
        """Return `kind/id` of the documents to which this happens."""
        return [f"{item.kind}/{item.id}" for item in self.items if item.action in actions]


@dataclass(frozen=True)
class PlannedChange:
    """What an apply would do to one document: create, change, remove, keep or nothing.

    Kept documents stand in the catalog but in no file.
    """

    kind: str
    id: str
    action: str
    diff: str
    change: Change | None


def read_documents(paths: Sequence[Path]) -> dict[Key, tuple[AnyDocument, Raw]]:
    """Return the documents of files and folders.

    Raises:
        InvalidDocuments: unreadable YAML, unknown fields, wrong values, an id given twice: everything that is
            wrong, at once.
    """
    documents: dict[Key, tuple[AnyDocument, Raw]] = {}
    problems: list[str] = []
    for path in find_files(paths):
        raws, unreadable = read_file(path)
        problems += unreadable
        for raw in raws:
            document, wrong = _check(raw)
            problems += [raw.at(problem) for problem in wrong]
            if document is None:
                continue
            key = (document.kind, document.id)
            if key in documents:
                first = documents[key][1]
                problems.append(
                    raw.at(DocumentProblem(("id",), f"is given twice, first in {first.file}:{first.line}"))
                )
            else:
                documents[key] = (document, raw)
    if problems:
        raise InvalidDocuments(problems)
    if not documents:
        raise InvalidInput("there is no document in these files")
    return documents


def _check(raw: Raw) -> tuple[AnyDocument | None, list[DocumentProblem]]:
    """Return the document without the version it was made from, and the problems of both."""
    if not isinstance(raw.value, dict) or VERSION not in raw.value:
        return check_document(raw.value)
    document, wrong = check_document({key: value for key, value in raw.value.items() if key != VERSION})
    version = raw.value[VERSION]
    if isinstance(version, bool) or not isinstance(version, int) or version < 0:
        return None, [
            *wrong,
            DocumentProblem(
                (VERSION,),
                "must be the number of the version it was made from, as `angelia catalog show` prints it",
            ),
        ]
    return document, wrong


def plan(
    store: CatalogStore,
    paths: Sequence[Path],
    *,
    prune: bool = False,
    expect: Mapping[Key, int] | None = None,
    look: Look | None = None,
) -> ApplyPlan:
    """Return what applying these files would do, after checking the catalog as a whole.

    Args:
        prune: remove documents that no file names.
        expect: versions the files were made from, where the editor knows them; they hold for unchanged
            documents, too.
        look: looks at the documents further; its errors refuse only what this apply brings about.

    Raises:
        InvalidInput: a file is empty, and `prune` would remove what it held.
        InvalidDocuments: see `read_documents`; references, predicates and templates that do not fit.
        Conflict: a document is not at the version in `expect`, or one that would change is not at the version
            it says it was made from.
    """
    read = read_documents(paths)
    named = {raw.file for _, raw in read.values()}
    blank = [str(path) for path in find_files(paths) if str(path) not in named]
    if blank and prune:
        raise InvalidInput(
            f"{blank[0]} holds no document, and --prune would remove what it held", fix="restore or remove it"
        )
    heads = store.heads(tolerant=True)
    for key, version in (expect or {}).items():
        _require_version(key, heads.get(key), version)
    for key, (document, raw) in read.items():
        # A file that changes nothing cannot undo somebody's change, so its older version is no conflict.
        if VERSION in raw.value and not _is_same(heads.get(key), document):
            _require_version(key, heads.get(key), raw.value[VERSION])
    standing = {key: head.document for key, head in heads.items() if head.document is not None}
    after = {**({} if prune else standing), **{key: document for key, (document, _) in read.items()}}

    def at(key: Key, problem: DocumentProblem) -> str:
        return read[key][1].at(problem) if key in read else f"catalog: {key[0]}/{key[1]}: {problem}"

    broken = {key: head.problem for key, head in heads.items() if head.problem is not None}
    problems = [
        at(key, DocumentProblem((), f"does not follow its model ({problem}); apply it again, corrected"))
        for key, problem in broken.items()
        if key not in read and not prune
    ]
    # A document that cannot be read would make references to it look broken, too: it is reported alone.
    problems = problems or [at(key, problem) for key, problem in Whole(after.values()).problems()]
    if problems:
        raise InvalidDocuments(problems)
    changed = {key for key, (document, _) in read.items() if not _is_same(heads.get(key), document)}
    warnings = [f"{name}: holds no document" for name in blank]
    warnings += [read[key][1].at(problem) for key in sorted(changed) for problem in _numbers(read[key][1])]
    for notice in look(after) if look else ():
        is_news = bool(notice.keys & changed)
        # An error in documents that this apply leaves as they are must not block it.
        if notice.is_error and is_news:
            problems.append(at(notice.key, notice.problem))
        elif is_news or (not notice.only_news and notice.keys & read.keys()):
            warnings.append(at(notice.key, notice.problem))
    if problems:
        raise InvalidDocuments(problems)
    items = [
        _planned(key, heads.get(key), read[key][0] if key in read else None, prune)
        for key in sorted({*standing, *read, *broken})
    ]
    return ApplyPlan(tuple(items), generation_of(heads), tuple(dict.fromkeys(warnings)))


def _numbers(raw: Raw) -> Iterator[DocumentProblem]:
    for path, text in raw.numbers.items():
        problem = written_number(path, text, raw.at_path(path))
        if problem is not None:
            yield problem


def _require_version(key: Key, head: Head | None, version: int) -> None:
    if (head.version if head else 0) != version:
        kind, name = key
        standing = f"{head.actor} made version {head.version} at {head.at_ts}" if head else "it is not there"
        fix = f"see `angelia catalog show {kind} {name}`, put both together; nothing was written"
        raise Conflict(f"{kind}/{name}: {standing}, yours was made from version {version}", fix=fix)


def _is_same(head: Head | None, document: AnyDocument) -> bool:
    return head is not None and head.document is not None and canonical(document) == canonical(head.document)


def carry_out(store: CatalogStore, planned: ApplyPlan, *, actor: str, at: datetime) -> None:
    """Make the planned changes, all or none.

    Raises:
        Conflict: somebody changed the catalog since the plan was made.
    """
    changes = [item.change for item in planned.items if item.change is not None]
    if changes:
        store.save(changes, actor=actor, at=at, generation=planned.generation)


def as_yaml(document: AnyDocument | None, version: int | None = None) -> str:
    """Return a document as YAML, in the model's order and without nulls; empty for no document.

    With a version the text names it: if that text is edited and applied, it is refused when the catalog has a
    newer version.
    """
    if document is None:
        return ""
    body = document.model_dump(mode="json", exclude_none=True)
    first = {
        "kind": body.pop("kind"),
        "id": body.pop("id"),
        **({} if version is None else {VERSION: version}),
        **body,
    }
    return yaml.safe_dump(first, sort_keys=False, allow_unicode=True, width=140)


def _planned(key: Key, head: Head | None, new: AnyDocument | None, prune: bool) -> PlannedChange:
    kind, name = key
    old = head.document if head else None
    expected = head.version if head else 0
    if new is None and not prune:
        return PlannedChange(kind, name, "kept", "", None)
    if new is not None and _is_same(head, new):
        return PlannedChange(kind, name, "unchanged", "", None)
    action = "removed" if new is None else "created" if old is None else "changed"
    labels = (
        f"{kind}/{name}@{expected}" if old else "/dev/null",
        f"{kind}/{name}@{expected + 1}" if new else "/dev/null",
    )
    lines = difflib.unified_diff(as_yaml(old).splitlines(), as_yaml(new).splitlines(), *labels, lineterm="")
    return PlannedChange(kind, name, action, "\n".join(lines), Change(kind, name, expected, new))
