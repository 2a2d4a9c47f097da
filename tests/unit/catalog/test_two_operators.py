"""Two operators at once, each a process with its own connection, on every store.

The second learns that the first was faster; nothing is lost or half done.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from angelia.catalog.apply import InvalidDocuments, as_yaml, carry_out, plan, read_documents
from angelia.catalog.documents import canonical
from angelia.catalog.store import CatalogStore, Change
from angelia.errors import Conflict

Write = Callable[..., Path]
AT = datetime(2026, 11, 14, 12, tzinfo=UTC)

EDITOR = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from angelia.catalog.apply import carry_out, plan
from angelia.catalog.store import CatalogStore
from angelia.errors import Conflict

url, folder, actor = sys.argv[1:]
store = CatalogStore.open(url)
planned = plan(store, [Path(folder)])
print("checked", flush=True)
sys.stdin.readline()
try:
    carry_out(store, planned, actor=actor, at=datetime(2026, 11, 14, 12, 30, tzinfo=UTC))
    print("written", flush=True)
except Conflict as error:
    print(error.one_line(), flush=True)
"""

DYING_WRITER = """
import sys
import time
import sqlalchemy as sa
from angelia.catalog import schema, tables
from angelia.catalog.store import CatalogStore

store = CatalogStore.open(sys.argv[1])
with schema.locked(store.engine) as connection:
    connection.execute(sa.update(tables.documents).values(version=99, actor="ghost"))
    connection.execute(sa.delete(tables.versions))
    print("half done", flush=True)
    time.sleep(600)
"""


@contextmanager
def process(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    running = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def line(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    output = running.stdout.readline().strip()
    if not output:
        assert running.stderr is not None
        pytest.fail(running.stderr.read())
    return output


def go(running: subprocess.Popen[str]) -> None:
    assert running.stdin is not None
    running.stdin.write("go\n")
    running.stdin.flush()


def test_the_second_writer_is_told_who_and_when(store: CatalogStore, catalog_url: str, write: Write) -> None:
    carry_out(store, plan(store, [write()]), actor="eve", at=AT)
    folders = {
        "ann": write(("value_per_open: 0.05", "value_per_open: 0.07")),
        "bob": write(("owner: growth", "owner: retention")),
    }
    with (
        process(EDITOR, catalog_url, folders["ann"], "ann") as ann,
        process(EDITOR, catalog_url, folders["bob"], "bob") as bob,
    ):
        editors = {"ann": ann, "bob": bob}
        assert {line(editor) for editor in editors.values()} == {"checked"}  # both, before either writes
        for editor in editors.values():
            go(editor)
        answers = {name: line(editor) for name, editor in editors.items()}
    (first,) = [name for name, words in answers.items() if words == "written"]
    (second,) = set(answers) - {first}
    assert (
        f"campaign/sale was changed meanwhile: {first} made version 2 at 2026-11-14T12:30:00"
        in answers[second]
    )
    assert "angelia catalog show campaign sale" in answers[second]
    assert [(version.version, version.actor) for version in store.history("campaign", "sale")] == [
        (1, "eve"),
        (2, first),
    ]
    assert second not in {entry.actor for entry in store.audit()}
    both = write(("value_per_open: 0.05", "value_per_open: 0.07"), ("owner: growth", "owner: retention"))
    carry_out(store, plan(store, [both], expect={("campaign", "sale"): 2}), actor=second, at=AT)
    changed = [(version.actor, version.changed) for version in store.history("campaign", "sale")]
    edits = {"ann": ("value_per_open",), "bob": ("owner",)}
    assert changed == [("eve", ()), (first, edits[first]), (second, edits[second])]


def test_a_killed_writer_leaves_no_trace_and_no_lock(
    store: CatalogStore, catalog_url: str, write: Write
) -> None:
    folder = write()
    carry_out(store, plan(store, [folder]), actor="eve", at=AT)
    before = (store.heads(), store.history("campaign", "sale"), store.audit())
    with process(DYING_WRITER, catalog_url) as writer:
        assert line(writer) == "half done"
        assert (
            store.heads(),
            store.history("campaign", "sale"),
            store.audit(),
        ) == before  # readers do not wait
        writer.kill()
        writer.wait()
    assert (store.heads(), store.history("campaign", "sale"), store.audit()) == before
    carry_out(store, plan(store, [write(("owner: growth", "owner: other"))]), actor="bob", at=AT)
    assert store.get("campaign", "sale").actor == "bob"


def exported(store: CatalogStore, path: Path, *changes: tuple[str, str]) -> Path:
    """Write the sale as `angelia catalog show` prints it, edited."""
    head = store.get("campaign", "sale")
    text = as_yaml(head.document, head.version)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, "utf-8")
    return path


def test_an_edit_of_an_outdated_export_is_refused(store: CatalogStore, write: Write, tmp_path: Path) -> None:
    carry_out(store, plan(store, [write()]), actor="eve", at=AT)
    ann = exported(store, tmp_path / "ann.yaml", ("value_per_open: 0.05", "value_per_open: 0.07"))
    bob = exported(store, tmp_path / "bob.yaml", ("owner: growth", "owner: retention"))
    untouched = exported(store, tmp_path / "untouched.yaml")
    carry_out(store, plan(store, [ann]), actor="ann", at=AT)
    with pytest.raises(
        Conflict,
        match=r"campaign/sale: ann made version 2 at 2026-11-14T12:00:00.*, yours was made from version 1",
    ) as refused:
        plan(store, [bob])
    assert "angelia catalog show campaign sale" in refused.value.one_line()
    with pytest.raises(Conflict, match="ann made version 2"):
        plan(store, [untouched])  # it would take back what ann did
    assert plan(store, [ann]).having("unchanged") == ["campaign/sale"], (
        "applying the same file again changes nothing"
    )
    both = exported(store, tmp_path / "both.yaml", ("owner: growth", "owner: retention"))
    carry_out(store, plan(store, [both]), actor="bob", at=AT)
    assert [(version.actor, version.changed) for version in store.history("campaign", "sale")] == [
        ("eve", ()),
        ("ann", ("value_per_open",)),
        ("bob", ("owner",)),
    ]
    assert "version:" not in canonical(store.get("campaign", "sale").document)


def test_a_version_of_an_absent_document_conflicts(store: CatalogStore, write: Write, tmp_path: Path) -> None:
    folder = write()
    carry_out(store, plan(store, [folder]), actor="eve", at=AT)
    old = exported(store, tmp_path / "old.yaml", ("owner: growth", "owner: other"))
    for name, kept in (("0", "version: 0\n"), ("9", "version: 9\n")):
        text = (
            old.read_text("utf-8").replace("id: sale\n", f"id: sale_{name}\n").replace("version: 1\n", kept)
        )
        (tmp_path / f"new{name}.yaml").write_text(text, "utf-8")
    assert plan(store, [tmp_path / "new0.yaml"]).having("created") == ["campaign/sale_0"]
    with pytest.raises(Conflict, match="it is not there, yours was made from version 9"):
        plan(store, [tmp_path / "new9.yaml"])
    store.save([Change("campaign", "sale", 1, None)], actor="ann", at=AT)
    with pytest.raises(Conflict, match="ann made version 2"):
        plan(store, [old])


@pytest.mark.parametrize("version", ["two", "-1", "true", "1.0", "[1]"])
def test_a_version_is_a_number(write: Write, version: str) -> None:
    with pytest.raises(InvalidDocuments) as refused:
        read_documents([write(("id: sale\n", f"id: sale\nversion: {version}\n"))])
    assert all(
        "/sale: version: must be the number of the version it was made from" in problem
        for problem in refused.value.problems
    )
