"""`apply`: documents in files become the catalog's documents. Everything is checked first; then all changes are made, or none.

Reads YAML files and the store, writes the store. Documents of the catalog that no file names stay, unless `prune` is asked for.
Applying the same files again changes nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml

from angelia.catalog.documents import AnyDocument, canonical, check_document
from angelia.catalog.problems import Problem
from angelia.catalog.store import CatalogStore, Change, Head, generation_of
from angelia.catalog.validate import Key, Whole
from angelia.catalog.yaml_files import Raw, find_files, read_file
from angelia.errors import Conflict, InvalidInput


class InvalidDocuments(InvalidInput):
    """Documents that cannot be applied; `problems` has one line for each thing that is wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        count = len(self.problems)
        super().__init__(
            self.problems[0] if count == 1 else f"{count} problems, nothing was written", fix="nothing was written" if count == 1 else None
        )


@dataclass(frozen=True)
class Plan:
    """What an apply would do, and the state of the catalog it was checked against."""

    items: tuple[Planned, ...]
    generation: int

    def having(self, *actions: str) -> list[str]:
        """Return `kind/id` of the documents to which this happens."""
        return [f"{item.kind}/{item.id}" for item in self.items if item.action in actions]


@dataclass(frozen=True)
class Planned:
    """What an apply would do to one document: created, changed, unchanged, removed, or kept (in no file)."""

    kind: str
    id: str
    action: str
    diff: str
    change: Change | None


def read_documents(paths: Sequence[Path]) -> dict[Key, tuple[AnyDocument, Raw]]:
    """Return the documents of files and folders.

    Raises:
        InvalidDocuments: unreadable YAML, unknown fields, wrong values, an id given twice: everything that is wrong, at once.
    """
    found: dict[Key, tuple[AnyDocument, Raw]] = {}
    problems: list[str] = []
    for path in find_files(paths):
        raws, unreadable = read_file(path)
        problems += unreadable
        for raw in raws:
            document, wrong = check_document(raw.value)
            problems += [raw.at(problem) for problem in wrong]
            if document is None:
                continue
            key = (document.kind, document.id)
            if key in found:
                first = found[key][1]
                problems.append(raw.at(Problem(("id",), f"is given twice, first in {first.file}:{first.line}")))
            else:
                found[key] = (document, raw)
    if problems:
        raise InvalidDocuments(problems)
    if not found:
        raise InvalidInput("there is no document in these files")
    return found


def plan(store: CatalogStore, paths: Sequence[Path], *, prune: bool = False, expect: Mapping[Key, int] | None = None) -> Plan:
    """Return what applying these files would do, after checking that the whole catalog would fit together.

    Args:
        prune: remove documents that no file names.
        expect: versions the files were made from, where the editor knows them.

    Raises:
        InvalidDocuments: see `read_documents`; references, predicates and templates that do not fit.
        Conflict: a document is not at the version in `expect`.
    """
    read = read_documents(paths)
    heads = store.heads()
    for key, version in (expect or {}).items():
        head = heads.get(key)
        if (head.version if head else 0) != version:
            said = f"{head.actor} made version {head.version} at {head.at_ts}" if head else "it is not there"
            raise Conflict(f"{key[0]}/{key[1]}: {said}, yours was made from version {version}", fix="put both together; nothing was written")
    standing = {key: head.document for key, head in heads.items() if head.document is not None}
    after = {**({} if prune else standing), **{key: document for key, (document, _) in read.items()}}
    problems = [
        read[key][1].at(problem) if key in read else f"catalog: {key[0]}/{key[1]}: {problem}" for key, problem in Whole(after.values()).problems()
    ]
    if problems:
        raise InvalidDocuments(problems)
    items = [_planned(key, heads.get(key), read[key][0] if key in read else None, prune) for key in sorted({*standing, *read})]
    return Plan(tuple(items), generation_of(heads))


def carry_out(store: CatalogStore, planned: Plan, *, actor: str, at: datetime) -> None:
    """Make the planned changes, all or none.

    Raises:
        Conflict: somebody changed the catalog since the plan was made.
    """
    changes = [item.change for item in planned.items if item.change is not None]
    if changes:
        store.save(changes, actor=actor, at=at, generation=planned.generation)


def as_yaml(document: AnyDocument | None) -> str:
    """Return a document as YAML, its fields in the model's order and what is null left out; empty for no document."""
    if document is None:
        return ""
    body = document.model_dump(mode="json", exclude_none=True)
    first = {"kind": body.pop("kind"), **body}
    return yaml.safe_dump(first, sort_keys=False, allow_unicode=True, width=140)


def _planned(key: Key, head: Head | None, new: AnyDocument | None, prune: bool) -> Planned:
    kind, name = key
    old = head.document if head else None
    expected = head.version if head else 0
    if new is None and not prune:
        return Planned(kind, name, "kept", "", None)
    if new is not None and old is not None and canonical(new) == canonical(old):
        return Planned(kind, name, "unchanged", "", None)
    action = "removed" if new is None else "created" if old is None else "changed"
    labels = (f"{kind}/{name}@{expected}" if old else "/dev/null", f"{kind}/{name}@{expected + 1}" if new else "/dev/null")
    lines = difflib.unified_diff(as_yaml(old).splitlines(), as_yaml(new).splitlines(), *labels, lineterm="")
    return Planned(kind, name, action, "\n".join(lines), Change(kind, name, expected, new))
