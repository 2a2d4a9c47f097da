"""Catalog: every document as YAML, with versions, an editor and a download."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from fastapi import Form, Response

from angelia.catalog.channel_news import tell_workers
from angelia.catalog.documents import KINDS, AnyDocument, Campaign
from angelia.catalog.problems import Key, nearest
from angelia.catalog.store import CatalogStore, Head, Version, generation_of
from angelia.console import editing
from angelia.console.access import Role
from angelia.console.desk import Desk, DeskNow, Page
from angelia.console.engine import Engine
from angelia.console.phones import Shown, shown_with
from angelia.errors import Conflict, InvalidInput, NotFound

PAGE = Page("catalog", "Catalog", order=25)
SPEAKING = ("material", "template")
SAVE, CHECK = "save", "check"
_IN_AUDIENCE = re.compile(r"\bin_audience\(\s*'([^']+)'\s*\)", re.IGNORECASE)
DOWNLOAD = {"Content-Type": "application/yaml; charset=utf-8"}


@PAGE.get()
def listing(desk: Desk, kind: str = "") -> Response:
    """List the documents, of one kind or of all."""
    if kind and kind not in KINDS:
        raise InvalidInput("there is no such kind of document", fix=f"one of {', '.join(KINDS)}")
    heads = [head for head in desk.engine.store().heads(tolerant=True).values() if _is_there(head)]
    shown = [head for head in heads if kind in ("", head.kind)]
    return desk.show(
        "catalog.html",
        title="Catalog",
        kinds=list(KINDS),
        kind=kind,
        heads=shown,
        used=_uses(heads),
    )


@PAGE.get("/new", role=Role.OPERATOR)
def new(desk: Desk, kind: str = "", like: str = "") -> Response:
    """Open the editor for a new document, made like another."""
    head = _head(desk.engine.store(), kind, like)
    return _editor(desk, None, editing.copy_of(head), 0, editing.Edit())


@PAGE.post("/new", role=Role.OPERATOR)
def save_new(
    desk: Desk, text: Annotated[str, Form()] = "", action: Annotated[str, Form()] = CHECK
) -> Response:
    """Check or save a new document."""
    return _check_or_save(desk, None, text, 0, action)


@PAGE.get("/{kind}/{name}")
def document(desk: Desk, kind: str, name: str, version: int = 0) -> Response:
    """Show a document, or one of its past versions and what changed since."""
    store = desk.engine.store()
    head, history = _head(store, kind, name), store.history(kind, name)
    past = _version(history, version) if version else None
    text = editing.yaml_of_version(past) if past else editing.yaml_of(head)
    since = ""
    if past and past.version != head.version:
        names = (f"version {past.version}", f"version {head.version}")
        since = editing.difference(text, editing.yaml_of_version(_version(history, head.version)), names)
    return desk.show(
        "document.html",
        title=name,
        head=head,
        past=past,
        text=text,
        since=since,
        history=list(reversed(history)),
        used=_uses(list(store.heads(tolerant=True).values())).get((kind, name), []),
        messages=_messages(desk.engine, store, kind, name) if kind in SPEAKING else [],
    )


def _messages(engine: Engine, store: CatalogStore, kind: str, name: str) -> list[Shown]:
    """Return what is said with a document; kept until anything in the catalog changes."""
    key = ("shown", str(store.engine.url), generation_of(store.heads(tolerant=True)), kind, name)
    return engine.kept(key, lambda: shown_with(_documents(store), kind, name))


def _documents(store: CatalogStore) -> Mapping[Key, AnyDocument]:
    """Return the documents that follow their models."""
    heads = store.heads(tolerant=True).items()
    return {key: head.document for key, head in heads if head.document is not None}


@PAGE.get("/{kind}/{name}/download")
def download(desk: Desk, kind: str, name: str) -> Response:
    """Return a document as a YAML file."""
    head = _head(desk.engine.store(), kind, name)
    headers = {"Content-Disposition": f'attachment; filename="{head.kind}-{head.id}.yaml"'}
    return Response(editing.yaml_of(head), headers=DOWNLOAD | headers)


@PAGE.get("/{kind}/{name}/edit", role=Role.OPERATOR)
def edit(desk: Desk, kind: str, name: str, version: int = 0) -> Response:
    """Open the editor, with the newest version or the text of a past one."""
    store = desk.engine.store()
    head = _head(store, kind, name)
    text = editing.yaml_of(head)
    if version:
        text = editing.yaml_of_version(_version(store.history(kind, name), version))
    return _editor(desk, head, text, head.version, editing.Edit((kind, name)))


@PAGE.post("/{kind}/{name}/edit", role=Role.OPERATOR)
def save(
    desk: Desk,
    kind: str,
    name: str,
    text: Annotated[str, Form()] = "",
    made_from: Annotated[int, Form()] = 0,
    action: Annotated[str, Form()] = CHECK,
) -> Response:
    """Check or save what was edited."""
    return _check_or_save(desk, (kind, name), text, made_from, action)


def _check_or_save(desk: DeskNow, key: Key | None, text: str, made_from: int, action: str) -> Response:
    assert desk.visitor is not None
    store, now = desk.engine.store(), desk.engine.now()
    head = _head(store, *key) if key else None
    # Browsers end lines with CR LF.
    text = text.replace("\r\n", "\n")
    checked = editing.check(store, text, made_from, key, now.date())
    if action == SAVE and checked.can_be_saved:
        try:
            kind, name = editing.save(store, checked, actor=desk.visitor.name, at=now)
        except Conflict:
            # Somebody was faster by a moment: checked again, it is said who and what.
            checked = editing.check(store, text, made_from, key, now.date())
        else:
            assert checked.planned is not None
            tell_workers(desk.engine.lake(), checked.planned, now)
            return desk.go(f"/catalog/{kind}/{name}")
    status = 409 if checked.conflict else 400 if checked.problems else 200
    return _editor(desk, checked.head or head, text, made_from, checked, status=status)


def _editor(
    desk: DeskNow, head: Head | None, text: str, made_from: int, checked: editing.Edit, *, status: int = 200
) -> Response:
    return desk.show(
        "edit.html",
        status=status,
        title=f"Edit {head.id}" if head else "New document",
        head=head,
        text=text,
        made_from=made_from,
        checked=checked,
        messages=editing.messages_of(desk.engine.store(), checked),
    )


def _is_there(head: Head) -> bool:
    return head.document is not None or head.problem is not None


def _head(store: CatalogStore, kind: str, name: str) -> Head:
    head = store.heads(tolerant=True).get((kind, name))
    if head is None or not _is_there(head):
        if kind not in KINDS:
            raise NotFound("there is no such kind of document", fix=f"one of {', '.join(KINDS)}")
        there = [its_name for its_kind, its_name in store.heads(tolerant=True) if its_kind == kind]
        raise NotFound(f"no {kind} has this id", fix=nearest(name, there).removeprefix("; ") or None)
    return head


def _version(history: list[Version], number: int) -> Version:
    wanted = next((version for version in history if version.version == number), None)
    if wanted is None:
        raise NotFound(f"there is no version {number}", fix=f"choose a version from 1 to {len(history)}")
    return wanted


def _uses(heads: list[Head]) -> Mapping[Key, list[str]]:
    """Return where each document is used: `kind/id` of those that name it."""
    uses: dict[Key, list[str]] = {}
    for head in heads:
        body = head.document.model_dump(mode="json") if head.document else {}
        named: list[Key] = [
            (field, body[field]) for field in ("audience", "template", "experiment") if body.get(field)
        ]
        if isinstance(head.document, Campaign):
            named += [("material", name) for name in body["materials"]]
            named += [("channel", name) for name in body["channels"]]
        # A saved audience may stand in another's condition.
        named += [("audience", name) for name in _IN_AUDIENCE.findall(str(body.get("predicate", "")))]
        for key in dict.fromkeys(named):
            uses.setdefault(key, []).append(f"{head.kind}/{head.id}")
    return uses
