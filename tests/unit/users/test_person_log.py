"""A log by person against a filter of all of it; a request reads what came since the last."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from angelia.contracts import arrow, dataset
from angelia.lake import Lake
from angelia.lake.erasing.erase import erase
from angelia.users import person_log
from angelia.users.choices import CHOICES
from angelia.users.person_log import PersonLog

AT = datetime(2026, 11, 15, 9, tzinfo=UTC)
USERS = ("u1", "ü", "U1", "u10", "\U0001f600", "z")


def append(lake: Lake, *users: str, n: int = 0) -> None:
    word = {"kind": "topic", "name": f"t{n}", "is_opted_in": True, "updated_ts": AT + n * timedelta(hours=1)}
    rows = [{"user_id": user, **word} for user in users]
    lake.append_log(CHOICES, pa.Table.from_pylist(rows, schema=arrow.schema(dataset(CHOICES))))


def test_each_person_has_their_own_entries(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(person_log, "_LEAST", 5)
    log = PersonLog(lake, CHOICES)
    assert log.of("u1") == []
    for n in range(6):
        append(lake, *USERS[n % 3 :], n=n)
        whole = lake.read_log(CHOICES)
        for user in (*USERS, "nobody"):
            expected = whole.filter(pc.equal(whole["user_id"], user)).to_pylist()
            assert log.of(user) == PersonLog(lake, CHOICES).of(user) == expected


def test_a_request_reads_new_commits_only(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    append(lake, *USERS)
    log, reads = PersonLog(lake, CHOICES), list[int]()
    log.of("u1")
    load = Lake.load

    def counted(self: Lake, branch: str, name: str, leaf: Any, number: int) -> Any:
        reads.append(number)
        return load(self, branch, name, leaf, number)

    monkeypatch.setattr(Lake, "load", counted)
    monkeypatch.setattr(Lake, "numbers", lambda *_, **__: pytest.fail("commits were listed"))
    assert len(log.of("u1")) == 1
    assert reads == []
    monkeypatch.undo()
    append(lake, "u1", n=1)
    monkeypatch.setattr(Lake, "load", counted)
    assert [row["name"] for row in log.of("u1")] == ["t0", "t1"]
    assert reads == [2]


def test_a_log_forgets_whom_an_erasure_took(lake: Lake) -> None:
    append(lake, "u1", "u10")
    log = PersonLog(lake, CHOICES)
    assert len(log.of("u1")) == 1
    append(lake, "u1", n=1)
    assert len(log.of("u1")) == 2  # one of them is held beside the sorted ones
    erase(Lake(lake.store, clock=lake.clock), ["u1"])  # as another process would
    assert log.of("u1") == []
    assert len(log.of("u10")) == 1
    assert "u1" not in lake.read_log(CHOICES)["user_id"].to_pylist()
