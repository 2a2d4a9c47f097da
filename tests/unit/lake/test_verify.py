"""`verify` names every damage at once, on both stores."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from angelia.contracts.rows import valid_rows
from angelia.errors import NotFound
from angelia.lake import Commit, Lake
from angelia.lake import attempt as attempts
from angelia.lake.store import Store
from angelia.lake.verify import verify
from tests.user_index import append_people

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def lake_at(store: Store, days: float = 0, branch: str = "main") -> Lake:
    return Lake(store, branch, clock=lambda: NOON + timedelta(days=days))


def publish(lake: Lake, name: str, ds: str, seed: int = 1, **how: Any) -> Commit:
    with lake.attempt(name, ds=ds) as attempt:
        attempt.write(valid_rows(name, 20, seed=seed, ds=ds), "part-0000.parquet")
        return attempt.publish(**how)


def test_a_whole_lake_has_no_problems(store: Store) -> None:
    lake = lake_at(store)
    days = publish(lake, "user_days", "2026-11-14")
    publish(lake, "user_features", "2026-11-14", inputs=[days])
    lake.append_log("stops", valid_rows("stops", 2))
    head = None
    for first in (0, 10):
        table = pa.table(
            {
                "user_id": [f"u{i}" for i in range(first, first + 10)],
                "ordinal": pa.array(range(first, first + 10), pa.uint32()),
            }
        )
        head = append_people(lake, [table], expected=head, shard_bits=8)
    verdict = verify(lake)
    assert verdict.problems == []
    # The chain's second commit lists a file known from the first.
    assert (verdict.commits, verdict.files, verdict.expired) == (
        5,
        5,
        0,
    )
    assert verdict.bytes == sum(item.bytes for item in store.stored("") if "attempt-" in item.key)
    assert verify(lake, "user_days").commits == 1
    assert verify(lake, ds="2026-11-13").commits == 0
    with pytest.raises(NotFound, match="no dataset"):
        verify(lake, "user_day")


def test_every_damage_is_named_at_once(store: Store) -> None:
    lake = lake_at(store)
    commits = {
        ds: publish(lake, "user_days", ds) for ds in ("2026-11-11", "2026-11-12", "2026-11-13", "2026-11-14")
    }
    paths = {ds: commit.files[0].path for ds, commit in commits.items()}
    store.delete(paths["2026-11-11"])
    store.put(paths["2026-11-12"], store.read(paths["2026-11-12"])[:-5])
    flipped = bytearray(store.read(paths["2026-11-13"]))
    flipped[len(flipped) // 2] ^= 1
    store.put(paths["2026-11-13"], bytes(flipped))
    store.create("main/user_days/ds=2026-11-15/_commits/00000001.json", b"half a comm")
    problems = {(one.commit, one.problem.split(":")[-1].strip()) for one in verify(lake).problems}
    size = commits["2026-11-12"].files[0].bytes
    assert problems == {
        ("user_days/ds=2026-11-11@1", "missing"),
        ("user_days/ds=2026-11-12@1", f"{size - 5} bytes, its commit says {size}"),
        ("user_days/ds=2026-11-13@1", "bytes differ from its commit's sha256"),
        ("user_days/ds=2026-11-15@1", "not a commit file"),
    }
    assert {one.commit for one in verify(lake, ds="2026-11-12").problems} == {"user_days/ds=2026-11-12@1"}


def test_a_file_of_other_columns_is_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = lake_at(store)
    with lake.attempt("user_days", ds="2026-11-14") as attempt:
        entry = attempt.write(pa.table({"colour": ["red"]}), "x.parquet", conform=False)
        attempt.files = [replace(entry, conforms=True)]
        with monkeypatch.context() as patched:
            patched.setattr(attempts, "check_schema", lambda *_: None)  # a writer of another release
            attempt.publish()
    (problem,) = verify(lake).problems
    assert "colour: string, contract absent" in problem.problem


def test_an_older_file_may_lack_an_optional_column(store: Store) -> None:
    lake = lake_at(store)
    with lake.attempt("user_features", ds="2026-11-14") as attempt:
        older = valid_rows("user_features", 20).drop_columns(["uplift_score", "quiet_start"])
        entry = attempt.write(older, "x.parquet", conform=False)
        attempt.files = [replace(entry, conforms=True)]
        attempt.publish()
    assert verify(lake).problems == []


def test_citations_must_lead_somewhere(store: Store) -> None:
    lake = lake_at(store)
    days = publish(lake, "user_days", "2026-11-14")
    for ds, cited in [
        ("2026-11-11", days.citation()),
        ("2026-11-12", "user_days/ds=2026-11-14@8#0123456789abcdef"),
        ("2026-11-13", f"{days.ref}#0123456789abcdef"),
    ]:
        publish(lake, "user_features", ds, inputs=[cited])
    problems = {one.commit: one.problem for one in verify(lake).problems}
    assert set(problems) == {"user_features/ds=2026-11-12@1", "user_features/ds=2026-11-13@1"}
    assert "no object" in problems["user_features/ds=2026-11-12@1"]
    assert "not the commit that was cited" in problems["user_features/ds=2026-11-13@1"]
