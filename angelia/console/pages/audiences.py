"""Audiences: conditions counted as they are typed, and saved; lists made from a file.

Surprise: a condition is always sent as a form, never in an address, since whoever types one may paste a
person's id into it; only saved audiences have an address of their own.
"""

from __future__ import annotations

import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import File, Form, Response, UploadFile
from fastapi.responses import JSONResponse

from angelia.audience.language.fields import FIELDS, FieldKind
from angelia.audience.lists import kind_of, put_list
from angelia.catalog.saved_audiences import save_audience
from angelia.catalog.store import CatalogStore, Head, generation_of
from angelia.console.access import Role
from angelia.console.desk import Desk, DeskNow, Page
from angelia.console.engine import Engine
from angelia.console.people import words as completions
from angelia.console.people.audiences import (
    ConditionAnswer,
    ConditionProblem,
    Resident,
    answer,
    asking,
    live,
    topics_of,
)
from angelia.drawing.charts import bars
from angelia.errors import AngeliaError, Conflict, InvalidInput, NotFound
from angelia.lake import Lake
from angelia.output import percent

PAGE = Page("audiences", "Audiences", order=30)
PARTS = sorted(
    name for name, one in FIELDS.items() if one.kind in (FieldKind.TEXT, FieldKind.FLAG, FieldKind.SET)
)


@dataclass(frozen=True)
class Saved:
    """A saved audience in the list: its people, or why they cannot be counted."""

    head: Head
    count: int | None
    problem: str
    used: tuple[str, ...]


@dataclass(frozen=True)
class Listed:
    """An explicit list: its people, when it was made, and which audiences name it."""

    name: str
    n_users: int
    at_ts: str
    used: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """What somebody asks of a condition."""

    text: str
    topic: str = ""
    by: str = ""
    other: str = ""


@PAGE.get()
def listing(desk: Desk) -> Response:
    """List saved audiences with their counts, and explicit lists."""
    lake, store = desk.engine.lake(), desk.engine.store()
    heads = _audiences(store)
    uses = _uses(store)
    problem = None
    counts: dict[str, int | str] = {}
    try:
        with asking(desk.engine, lake) as resident:
            counts = _counts(desk.engine, store, resident, heads)
    except NotFound as error:
        problem = ConditionProblem.of(error, "")
    saved = []
    for head in heads:
        n = counts.get(head.id)
        refusal = n if isinstance(n, str) else ""
        saved.append(Saved(head, n if isinstance(n, int) else None, refusal, uses.get(head.id, ())))
    return desk.show(
        "audiences.html",
        title="Audiences",
        saved=saved,
        lists=_lists(lake, heads),
        problem=problem,
        asked=Asked(""),
    )


@PAGE.get("/words")
def words(desk: Desk) -> Response:
    """Return what may stand in a condition, for the page's script."""
    with asking(desk.engine, desk.engine.lake()) as resident:
        return JSONResponse(completions.words(desk.engine, resident))


@PAGE.post("/count", role=Role.VIEWER)
def count(desk: Desk, text: Annotated[str, Form()] = "", topic: Annotated[str, Form()] = "") -> Response:
    """Return the count of a condition that is being typed, or what is wrong with it so far."""
    try:
        with asking(desk.engine, desk.engine.lake()) as resident:
            return JSONResponse(live(resident, text, topic))
    except AngeliaError as error:
        problem = ConditionProblem.of(error, text)
        return JSONResponse({"problem": problem.message, "fix": problem.fix, "at": problem.at})


@PAGE.post("/ask", role=Role.VIEWER)
def ask(
    desk: Desk,
    text: Annotated[str, Form()] = "",
    topic: Annotated[str, Form()] = "",
    by: Annotated[str, Form()] = "",
    other: Annotated[str, Form()] = "",
) -> Response:
    """Show all that is known of a condition."""
    return _show(desk, None, Asked(text, topic, by, other))


@PAGE.post("/save", role=Role.OPERATOR)
def save(
    desk: Desk,
    text: Annotated[str, Form()] = "",
    name: Annotated[str, Form()] = "",
    description: Annotated[str, Form()] = "",
    made_from: Annotated[int, Form()] = 0,
) -> Response:
    """Save a condition as an audience; refused if somebody saved that name meanwhile."""
    assert desk.visitor is not None
    lake, store, name = desk.engine.lake(), desk.engine.store(), name.strip()
    there = store.heads().get(("audience", name))
    version = there.version if there is not None and there.document is not None else 0
    if there is not None and version != made_from:
        yours = f", and yours was made from version {made_from}" if made_from else " already"
        raise Conflict(
            f"audience {name} has version {version} by {there.actor}{yours}; nothing was written",
            fix="open that audience and change it there, or save under another name",
        )
    save_audience(
        store,
        lake,
        name,
        text.replace("\r\n", "\n").strip(),
        description.strip(),
        actor=desk.visitor.name,
        at=desk.engine.now(),
    )
    return desk.go(f"/audiences/{name}")


@PAGE.post("/lists", role=Role.OPERATOR)
def upload(
    desk: Desk,
    name: Annotated[str, Form()] = "",
    force: Annotated[str, Form()] = "",
    file: Annotated[UploadFile | None, File()] = None,
) -> Response:
    """Make a list from a file of ids; the audit trail says how many, never who."""
    assert desk.visitor is not None
    if file is None or not file.filename:
        raise InvalidInput("there is no file", fix="choose a CSV or Parquet file with a column user_id")
    kind = kind_of(Path(file.filename))
    lake, store, name = desk.engine.lake(), desk.engine.store(), name.strip()
    with tempfile.TemporaryDirectory() as folder:
        # A name of our own: what a browser calls the file is no path of this machine.
        path = Path(folder) / f"the file.{kind}"
        path.touch(mode=0o600)
        with path.open("wb") as target:
            while part := file.file.read(1 << 20):
                target.write(part)
        try:
            commit = put_list(lake, name, path, force=bool(force))
        except InvalidInput as error:
            # Its advice is for a terminal; this page has a box for it.
            fix = (error.fix or "").replace("give --force", "tick the box that takes it even so")
            raise InvalidInput(error.message, fix=fix or None) from None
    left_out = ", ".join(f"{n:,} {reason}" for reason, n in sorted(commit.rejects.items())) or "nobody"
    detail = f"{commit.meta['n_users']:,} people; left out: {left_out}"
    at, actor = desk.engine.now(), desk.visitor.name
    store.record("upload", "list", name, actor=actor, at=at, detail=detail)
    return desk.show("list_made.html", title=f"List {name}", name=name, commit=commit)


@PAGE.get("/{name}")
def audience(desk: Desk, name: str) -> Response:
    """Show a saved audience."""
    head = desk.engine.store().get("audience", name)
    return _show(desk, head, Asked(head.document.predicate))  # type: ignore[union-attr]


def _show(desk: DeskNow, head: Head | None, asked: Asked) -> Response:
    lake, store = desk.engine.lake(), desk.engine.store()
    answered: ConditionAnswer | None = None
    problem: ConditionProblem | None = None
    known: list[str] = []
    try:
        with asking(desk.engine, lake) as resident:
            known = topics_of(desk.engine, resident)
            answered = answer(resident, asked.text, topic=asked.topic, by=asked.by, other=asked.other)
    except AngeliaError as error:
        problem = _problem(error, asked)
    return desk.show(
        "audience.html",
        status=200 if problem is None else 400,
        title=head.id if head else "Condition",
        head=head,
        asked=asked,
        answer=answered,
        problem=problem,
        topics=known,
        parts=PARTS,
        chart=_chart(answered) if answered and answered.parts else "",
        lookalike=_lookalike(answered) if answered else "",
        used=_uses(store).get(head.id, ()) if head else (),
    )


def _problem(error: AngeliaError, asked: Asked) -> ConditionProblem:
    """Return what is wrong; the place is shown where the mistake is in the condition itself."""
    problem = ConditionProblem.of(error, asked.text.replace("\r\n", "\n").strip())
    offset = getattr(error, "offset", None)
    is_other = offset is not None and asked.other.strip() and error.message.count(asked.other.strip()[:12])
    return ConditionProblem(problem.message, problem.fix) if is_other else problem


def _chart(answered: ConditionAnswer) -> str:
    total = answered.counted.count or 1
    rows = [
        ("unknown" if value == "(null)" else value, float(n), f"{n:,} · {percent(100 * n / total)}")
        for value, n in answered.parts
    ]
    return bars(rows, f"People by {answered.by}")


def _lookalike(answered: ConditionAnswer) -> str:
    """Return the command that makes a list of people like these, quoted as a shell reads it."""
    return shlex.join(
        ["angelia", "audience", "lookalike", "NAME", "--seed", answered.text, "--size", "10000"]
    )


def _audiences(store: CatalogStore) -> list[Head]:
    heads = store.heads().values()
    return [head for head in heads if head.kind == "audience" and head.document is not None]


def _counts(
    engine: Engine, store: CatalogStore, resident: Resident, heads: list[Head]
) -> dict[str, int | str]:
    """Return each audience's count, or why it has none; kept until anything it reads changes."""
    lake = resident.audience.index.lake
    lists = tuple(
        head.citation()
        for leaf in lake.partitions("user_lists")
        if (head := lake.head("user_lists", **leaf)) is not None
    )
    index = resident.audience.index.commit.citation()
    key = ("counts", index, str(store.engine.url), generation_of(store.heads()), lists)

    def look() -> dict[str, int | str]:
        counts: dict[str, int | str] = {}
        for head in heads:
            try:
                counts[head.id] = resident.audience.count(f"in_audience('{head.id}')")
            except AngeliaError as error:
                counts[head.id] = error.one_line()
        return counts

    return engine.kept(key, look)


def _lists(lake: Lake, heads: list[Head]) -> list[Listed]:
    lists = []
    for leaf in lake.partitions("user_lists"):
        name = leaf["list"]
        commit = lake.head("user_lists", list=name)
        if commit is not None:
            used = tuple(head.id for head in heads if f"in_list('{name}')" in _predicate(head))
            lists.append(Listed(name, int(commit.meta["n_users"]), commit.created_ts, used))
    return lists


def _predicate(head: Head) -> str:
    return str(getattr(head.document, "predicate", ""))


def _uses(store: CatalogStore) -> dict[str, tuple[str, ...]]:
    """Return where each audience is used: `kind/id` of campaigns, materials, audiences."""
    heads = [head for head in store.heads().values() if head.document is not None]
    uses: dict[str, list[str]] = {}
    for head in heads:
        name = getattr(head.document, "audience", None)
        if name:
            uses.setdefault(str(name), []).append(f"{head.kind}/{head.id}")
        for other in heads if head.kind == "audience" else ():
            if other.kind == "audience" and f"in_audience('{other.id}')" in _predicate(head):
                uses.setdefault(other.id, []).append(f"audience/{head.id}")
    return {name: tuple(places) for name, places in uses.items()}
