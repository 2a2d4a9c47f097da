"""Ids of other systems, on each store: each is one person's, and messages may name it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from sqlalchemy.engine import Engine

from angelia.contracts import arrow, dataset
from angelia.intake.errors import Refused
from angelia.intake.message import Draft, Refusal
from angelia.intake.people.external_ids import EXTERNAL_IDS, ExternalIds, take_over
from angelia.intake.store import Accepted, IntakeStore
from angelia.lake import Lake

NOW_US = 1_790_000_000_000_000
NOW = datetime.fromtimestamp(NOW_US / 1e6, UTC)
CRM = {"namespace": "crm", "id": "K-7"}


def snapshot(lake: Lake, ds: str, *rows: tuple[str, str, datetime]) -> None:
    """Put a snapshot of (id in crm, user, since)."""
    values = [
        {"namespace": "crm", "external_id": external, "user_id": user, "linked_ts": at}
        for external, user, at in rows
    ]
    with lake.attempt(EXTERNAL_IDS, ds=ds) as attempt:
        attempt.write(
            pa.Table.from_pylist(values, schema=arrow.schema(dataset(EXTERNAL_IDS))), "part-0000.parquet"
        )
        attempt.publish()


def test_an_id_is_one_persons(any_engine: Engine) -> None:
    ids = ExternalIds(any_engine)
    ids.replace("u1", {"crm": ["K-7", "K-7", "k-7"], "shop": ["9"]}, NOW_US)
    assert ids.of("u1") == {"crm": ["K-7", "k-7"], "shop": ["9"]}
    with pytest.raises(Refused) as refused:
        ids.replace("u2", {"crm": ["N-1", "K-7"]}, NOW_US)
    assert refused.value.refusal.code == "external_id_taken"
    assert ids.of("u2") == {}, "nothing of it was kept"
    ids.replace("u1", {"crm": ["k-7"]}, NOW_US)
    ids.replace("u2", {"crm": ["K-7"]}, NOW_US)
    assert ids.of("u1") == {"crm": ["k-7"], "shop": ["9"]}


def test_a_message_names_a_person_by_another_id(any_engine: Engine, draft: Callable[..., Draft]) -> None:
    store, ids = IntakeStore(any_engine), ExternalIds(any_engine)
    ids.replace("u9", {"crm": ["K-7"]}, NOW_US)

    def foreign(external: dict[str, str] = CRM, **fields: object) -> Draft:
        return draft(user_id=None, external_id=external, idempotency_key="order-7", **fields)

    stranger, ours = store.accept([foreign({**CRM, "id": "K-8"}), foreign()])
    assert isinstance(stranger, Refusal)
    assert (stranger.code, stranger.field) == ("unknown_external_id", "external_id")
    assert isinstance(ours, Accepted)
    assert (store.get("shop", ours.id) or {})["user_id"] == "u9"
    # Whoever it is by now, the same request has the same answer.
    ids.replace("u9", {"crm": []}, NOW_US)
    (again,) = store.accept([foreign()])
    assert isinstance(again, Accepted)
    assert (again.id, again.repeated) == (ours.id, True)


def test_the_newest_snapshot_is_taken_over_once(any_engine: Engine, lake: Lake) -> None:
    ids, hour = ExternalIds(any_engine), timedelta(hours=1)
    assert take_over(lake, any_engine) == 0
    ids.replace("u1", {"crm": ["A", "B"]}, NOW_US)
    snapshot(lake, "2026-11-13", ("A", "u9", NOW + hour))
    rows = [("A", "u2", NOW + hour), ("A", "u3", NOW), ("B", "u2", NOW - hour), ("C", "u2", NOW)]
    snapshot(lake, "2026-11-14", *rows)
    assert take_over(lake, any_engine) == 2
    assert (ids.of("u1"), ids.of("u2"), ids.of("u3")) == ({"crm": ["B"]}, {"crm": ["A", "C"]}, {})
    ids.replace("u2", {"crm": []}, NOW_US)
    assert take_over(lake, any_engine) == 0
    assert ids.of("u2") == {}
