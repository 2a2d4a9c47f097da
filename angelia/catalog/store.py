"""The catalog store: versioned, audited documents in a SQL database.

Grain: one document = one (kind, id). Reads and writes the database at `ANGELIA_CATALOG`. Every change names
the version it was made from; if somebody changed the document meanwhile, the whole call is refused with
`Conflict` and nothing is written, so no change overwrites another. A removed document keeps its versions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.engine import Connection, Engine, Row

from angelia.catalog import schema
from angelia.catalog.documents import KINDS, AnyDocument, canonical
from angelia.catalog.problems import nearest, problem_of
from angelia.catalog.snapshot import StoredDocument
from angelia.catalog.tables import audit, documents, versions
from angelia.errors import Conflict, Corrupt, InvalidInput, NotFound


@dataclass(frozen=True)
class Head:
    """Newest state of one document; `document` is None once removed.

    `problem` says why there is none though one is stored: its model has changed since.
    """

    kind: str
    id: str
    version: int
    document: AnyDocument | None
    actor: str
    at_ts: str
    problem: str | None = None


@dataclass(frozen=True)
class Change:
    """One change to make: the new document, and the version it was made from.

    No document means remove; version 0 means that none existed.
    """

    kind: str
    id: str
    expected: int
    document: AnyDocument | None


@dataclass(frozen=True)
class Version:
    """One past or present state of a document.

    `changed` lists the paths that differ from the version before.
    """

    version: int
    action: str
    actor: str
    at_ts: str
    changed: tuple[str, ...]
    body: dict[str, Any] | None


@dataclass(frozen=True)
class AuditEntry:
    """Who did what when."""

    at_ts: str
    actor: str
    action: str
    kind: str
    id: str
    version: int | None
    detail: str | None


class CatalogStore:
    """Documents in a database whose schema is current."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def open(cls, url: str) -> CatalogStore:
        """Open the catalog, creating or upgrading its schema.

        Raises:
            InvalidInput, AngeliaError: see `schema.connect`.
        """
        return cls(schema.connect(url))

    def heads(self, *, tolerant: bool = False) -> dict[tuple[str, str], Head]:
        """Return the newest state of every document, removed ones included, by kind and id.

        Args:
            tolerant: also return documents that do not follow their model, with their `problem`: an apply can
                replace them.

        Raises:
            Corrupt: a stored document does not follow its model (any more).
        """
        with schema.reachable(self.engine), self.engine.connect() as connection:
            rows = connection.execute(sa.select(documents)).all()
        heads = [_head(row) for row in sorted(rows, key=lambda row: (row.kind, row.id))]
        for head in heads:
            if head.problem is not None and not tolerant:
                raise Corrupt(
                    f"catalog: {head.kind}/{head.id} version {head.version} does not follow its model "
                    f"({head.problem})",
                    fix="apply it again, corrected",
                )
        return {(head.kind, head.id): head for head in heads}

    def current(self) -> list[StoredDocument]:
        """Return the newest version of every document that is not removed, sorted by kind and id."""
        return [
            StoredDocument(head.document, head.version)
            for head in self.heads().values()
            if head.document is not None
        ]

    def get(self, kind: str, name: str) -> Head:
        """Return one document.

        Raises:
            NotFound: there is none, or it was removed; the nearest names are offered.
        """
        heads = self.heads()
        head = heads.get((kind, name))
        if head is None or head.document is None:
            if kind not in KINDS:
                raise InvalidInput(f"unknown kind {kind!r}{nearest(kind, KINDS)}")
            there = [
                other
                for (its_kind, other), its_head in heads.items()
                if its_kind == kind and its_head.document is not None
            ]
            gone = " (it was removed)" if head else ""
            raise NotFound(
                f"no {kind} {name!r}{gone}",
                fix=nearest(name, there).removeprefix("; ") or "see `angelia catalog list`",
            )
        return head

    def history(self, kind: str, name: str) -> list[Version]:
        """Return all versions of a document, oldest first."""
        query = (
            sa.select(versions)
            .where(versions.c.kind == kind, versions.c.id == name)
            .order_by(versions.c.version)
        )
        with schema.reachable(self.engine), self.engine.connect() as connection:
            rows = connection.execute(query).all()
        return [
            Version(
                row.version,
                row.action,
                row.actor,
                row.at_ts,
                tuple(json.loads(row.changed)),
                json.loads(row.body) if row.body else None,
            )
            for row in rows
        ]

    def audit(self, kind: str | None = None, name: str | None = None) -> list[AuditEntry]:
        """Return the audit trail, oldest first, of everything or of one kind or document."""
        query = sa.select(audit).order_by(audit.c.entry)
        if kind is not None:
            query = query.where(audit.c.kind == kind)
        if name is not None:
            query = query.where(audit.c.id == name)
        with schema.reachable(self.engine), self.engine.connect() as connection:
            return [
                AuditEntry(row.at_ts, row.actor, row.action, row.kind, row.id, row.version, row.detail)
                for row in connection.execute(query)
            ]

    def save(
        self, changes: Sequence[Change], *, actor: str, at: datetime, generation: int | None = None
    ) -> None:
        """Make all changes, or none.

        Args:
            generation: what `generation_of(heads())` was when the changes were checked against the rest of
                the catalog.

        Raises:
            Conflict: a document is not at the version its change was made from (the message says who changed
                it, and when),
                or anything else changed since `generation`.
        """
        at_ts = _instant(at)
        with schema.reachable(self.engine), schema.locked(self.engine) as connection:
            moved = self._moved(connection, changes, generation)
            if moved is not None:
                raise moved
            for change in changes:
                self._write(connection, change, actor, at_ts)

    def record(
        self, action: str, kind: str, name: str, *, actor: str, at: datetime, detail: str | None
    ) -> None:
        """Write an audit entry for something that is no new version (a stop, a resume)."""
        row = {
            "at_ts": _instant(at),
            "actor": actor,
            "action": action,
            "kind": kind,
            "id": name,
            "version": None,
            "detail": detail,
        }
        with schema.reachable(self.engine), schema.locked(self.engine) as connection:
            connection.execute(sa.insert(audit).values(**row))

    def _moved(
        self, connection: Connection, changes: Sequence[Change], generation: int | None
    ) -> Conflict | None:
        """Return the conflict's message if the catalog is not what the changes were made from.

        The lock is held, so what is read here cannot change before the write.
        """
        rows = connection.execute(
            sa.select(
                documents.c.kind, documents.c.id, documents.c.version, documents.c.actor, documents.c.at_ts
            )
        ).all()
        there = {(row.kind, row.id): row for row in rows}
        for change in changes:
            head, what = there.get((change.kind, change.id)), f"{change.kind}/{change.id}"
            if (head.version if head else 0) == change.expected:
                continue
            if head is None:
                return Conflict(
                    f"{what} is not there; version {change.expected} was expected",
                    fix="read the catalog again",
                )
            return Conflict(
                (
                    f"{what} was changed meanwhile: {head.actor} made version {head.version} at "
                    f"{head.at_ts}, yours was made from {change.expected}"
                ),
                fix=(
                    f"see `angelia catalog show {change.kind} {change.id}`, put both together, apply "
                    f"again; nothing was written"
                ),
            )
        if generation is not None and generation != sum(row.version for row in rows):
            # The trail's own order, not the latest instant: instants may be equal, and editors' clocks
            # differ.
            last = connection.execute(
                sa.select(audit).where(audit.c.version.is_not(None)).order_by(audit.c.entry.desc()).limit(1)
            ).one()
            message = f"{last.actor} changed {last.kind}/{last.id} at {last.at_ts}, after yours was checked"
            return Conflict(
                message, fix="apply again, it is checked against the new state; nothing was written"
            )
        return None

    def _write(self, connection: Connection, change: Change, actor: str, at_ts: str) -> None:
        body = None if change.document is None else canonical(change.document)
        same = (
            versions.c.kind == change.kind,
            versions.c.id == change.id,
            versions.c.version == change.expected,
        )
        before = connection.execute(sa.select(versions.c.body).where(*same)).scalar()
        row = {
            "kind": change.kind,
            "id": change.id,
            "version": change.expected + 1,
            "actor": actor,
            "at_ts": at_ts,
        }
        if change.expected == 0:
            connection.execute(sa.insert(documents).values(**row, body=body))
        else:
            head = (documents.c.kind == change.kind, documents.c.id == change.id)
            connection.execute(sa.update(documents).where(*head).values(**row, body=body))
        action = "removed" if body is None else "created" if before is None else "changed"
        changed = json.dumps(changed_paths(before, body))
        connection.execute(sa.insert(versions).values(**row, body=body, action=action, changed=changed))
        connection.execute(sa.insert(audit).values(**row, action=action, detail=changed))


def generation_of(heads: Mapping[tuple[str, str], Head]) -> int:
    """Return a number that every change of the catalog makes greater: the sum of all versions."""
    return sum(head.version for head in heads.values())


def changed_paths(before: str | None, after: str | None) -> list[str]:
    """Return the sorted dotted paths at which two canonical bodies differ.

    The result is empty if either is absent.
    """
    if before is None or after is None:
        return []
    return sorted(_differences(json.loads(before), json.loads(after), ""))


def _differences(before: object, after: object, path: str) -> list[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        differences = []
        for key in {*before, *after}:
            inner = f"{path}.{key}" if path else str(key)
            differences += (
                _differences(before[key], after[key], inner) if key in before and key in after else [inner]
            )
        return differences
    return [] if before == after else [path]


def _head(row: Row[Any]) -> Head:
    document, problem = None, None
    if row.body is not None:
        try:
            document = KINDS[row.kind].model_validate_json(row.body)
        except ValidationError as error:
            problem = str(problem_of(KINDS[row.kind], error.errors(include_url=False)[0]))
        except (KeyError, ValueError):
            problem = "no such document"
    return Head(row.kind, row.id, row.version, document, row.actor, row.at_ts, problem)


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
