"""Documents that an older model let in are named, and the next apply replaces them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from angelia.catalog.apply import InvalidDocuments, carry_out, plan
from angelia.catalog.store import CatalogStore
from angelia.catalog.tables import documents
from angelia.errors import Corrupt

Write = Callable[..., Path]
AT = datetime(2026, 11, 14, 12, tzinfo=UTC)


def apply(store: CatalogStore, folder: Path) -> list[str]:
    planned = plan(store, [folder])
    carry_out(store, planned, actor="ann", at=AT)
    return planned.having("created")


def test_what_an_older_model_let_in_can_be_replaced(store: CatalogStore, write: Write) -> None:
    apply(store, write())
    with store.engine.begin() as connection:
        here = sa.and_(documents.c.kind == "channel", documents.c.id == "fcm")
        body = connection.execute(sa.select(documents.c.body).where(here)).scalar_one()
        wrong = json.dumps(json.loads(body) | {"capacity_per_hour": 10**20})
        connection.execute(sa.update(documents).where(here).values(body=wrong))
    with pytest.raises(Corrupt, match=r"channel/fcm version 1 .*capacity_per_hour: ") as stops:
        store.current()
    assert stops.value.fix == "apply it again, corrected"
    lists = write()
    (lists / "all.yaml").write_text('kind: audience\nid: all\npredicate: "true"\n')
    with pytest.raises(InvalidDocuments, match="does not follow its model") as refused:
        apply(store, lists)
    assert refused.value.problems[0].startswith("catalog: channel/fcm: ")
    assert "channel/fcm" in apply(store, write())
    assert len(store.current()) == 10
    assert [version.action for version in store.history("channel", "fcm")] == ["created", "changed"]
