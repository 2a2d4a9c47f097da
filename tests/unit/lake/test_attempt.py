"""Attempts: who wins a race to publish, and which files the audit refuses. On both stores."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from angelia.errors import Corrupt, InvalidInput
from angelia.lake import Attempt, Commit, FileEntry, Lake
from angelia.lake.lake import MAIN
from angelia.lake.store import Unsettled

DS = "2026-11-14"


def scores(*ordinals: int) -> pa.Table:
    n = len(ordinals)
    return pa.table(
        {
            "ordinal": pa.array(ordinals, pa.uint32()),
            "campaign_id": ["price_drop"] * n,
            "material_id": ["camera"] * n,
            "p_open": [0.25] * n,
            "lift": [None] * n,
        }
    )


def publish(lake: Lake, table: pa.Table | None = None, ds: str = DS, **how: Any) -> Commit:
    with lake.attempt("material_scores", ds=ds) as attempt:
        attempt.write(scores(1, 2) if table is None else table, "part-0000.parquet", shards=(0, 0))
        return attempt.publish(**how)


def _race(lake: Lake, mine: dict[str, Any], theirs: dict[str, Any]) -> tuple[Commit, Commit]:
    """Publish `theirs` between the moment `mine` looked for its number and its create."""
    other = Lake(lake.store, MAIN)
    real, won = lake.store.create, []

    def late(key: str, data: bytes) -> bool:
        if not won:
            won.append(None)
            won[0] = publish(other, **theirs)
        return real(key, data)

    lake.store.create = late  # type: ignore[method-assign]
    try:
        return publish(lake, **mine), won[0]  # type: ignore[return-value]
    finally:
        lake.store.create = real  # type: ignore[method-assign]


def test_the_loser_adopts_an_equal_winner(any_lake: Lake) -> None:
    how = {"inputs": ["user_events/ds=2026-11-14@1"], "params": {"seed": 7}}
    mine, theirs = _race(any_lake, {**how, "meta": {"seconds": 1}}, {**how, "meta": {"seconds": 2}})
    assert mine == theirs
    assert len(any_lake.history("material_scores", ds=DS)) == 1
    assert sorted(key for key in any_lake.store.list("") if "attempt-" in key) == [mine.files[0].path]


def test_an_equal_winner_that_was_erased_is_not_adopted(any_lake: Lake) -> None:
    """Its files hold a tombstone: who made the rows anew keeps them."""
    real = Lake.load

    def erased(lake: Lake, *which: Any) -> Commit:
        commit = real(lake, *which)
        if commit.number == 1 and not commit.erased:
            any_lake.store.put(commit.key, replace(commit, erased=True).to_bytes())
            commit = real(lake, *which)
        return commit

    any_lake.load = erased.__get__(any_lake)  # type: ignore[method-assign]
    own, winner = _race(any_lake, {"params": {"seed": 7}}, {"params": {"seed": 7}})
    assert (winner.number, own.number) == (1, 2)
    any_lake.check_bytes(own.files[0])


def test_the_loser_with_other_parameters_takes_the_next_number(any_lake: Lake) -> None:
    own, winner = _race(any_lake, {"params": {"seed": 7}}, {"params": {"seed": 8}})
    assert (winner.number, own.number) == (1, 2)
    any_lake.check_bytes(own.files[0])


def test_the_loser_with_other_inputs_takes_the_next_number(any_lake: Lake) -> None:
    cited = ["user_events/ds=2026-11-14@1", "user_profiles/ds=2026-11-14@1"]
    own, winner = _race(any_lake, {"inputs": iter(cited)}, {"inputs": cited[:1]})
    assert (winner.number, own.number) == (1, 2)
    assert own.inputs == tuple(cited)


def test_the_loser_with_other_code_takes_the_next_number(
    any_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = iter(["1.0+mine", "1.0+theirs"])
    monkeypatch.setattr("angelia.lake.attempt.code_version", lambda: next(versions))
    own, winner = _race(any_lake, {}, {})
    assert (own.code_version, winner.code_version) == ("1.0+mine", "1.0+theirs")
    assert (winner.number, own.number) == (1, 2)


def test_many_writers_at_once_each_get_a_number(any_lake: Lake) -> None:
    with ThreadPoolExecutor(6) as pool:
        commits = list(
            pool.map(
                lambda seed: publish(Lake(any_lake.store), scores(seed), params={"seed": seed}), range(6)
            )
        )
    assert sorted(commit.number for commit in commits) == [1, 2, 3, 4, 5, 6]
    for commit in commits:
        assert any_lake.as_of("material_scores", commit.number, ds=DS) == commit


def test_an_unsettled_publish_keeps_its_files(any_lake: Lake) -> None:
    real = any_lake.store.create

    def arrives_but_says_nothing(key: str, data: bytes) -> bool:
        real(key, data)
        raise Unsettled("no answer")

    any_lake.store.create = arrives_but_says_nothing  # type: ignore[method-assign]
    with pytest.raises(Unsettled):
        publish(any_lake)
    any_lake.store.create = real  # type: ignore[method-assign]
    any_lake.check_bytes(any_lake.require("material_scores", ds=DS).files[0])


def entry_of(lake: Lake, attempt: Attempt, table: pa.Table, **changes: Any) -> FileEntry:
    return replace(lake.write_file("material_scores", attempt.folder, table, "part-0000.parquet"), **changes)


def publish_as(lake: Lake, entries: Callable[[Attempt], list[FileEntry]]) -> Commit:
    with lake.attempt("material_scores", ds=DS) as attempt:
        for entry in entries(attempt):
            attempt.add(entry)
        return attempt.publish()


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"bytes": 5}, Corrupt, "its commit says 5"),
        ({"rows": 5}, Corrupt, "2 rows, its commit says 5"),
        ({"path": "main/material_scores/ds=2026-11-14/attempt-0/gone.parquet"}, Corrupt, "missing"),
        (
            {"path": "main/material_scores/ds=2026-11-13/attempt-0/x.parquet"},
            InvalidInput,
            "not of this partition",
        ),
    ],
)
def test_the_audit_refuses_files_that_are_not_as_said(
    any_lake: Lake, changes: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        publish_as(any_lake, lambda attempt: [entry_of(any_lake, attempt, scores(1, 2), **changes)])
    assert list(any_lake.store.list("")) == []


def test_the_audit_refuses_a_file_named_twice(any_lake: Lake) -> None:
    with pytest.raises(InvalidInput, match="named twice"):
        publish_as(any_lake, lambda attempt: [entry_of(any_lake, attempt, scores(1))] * 2)


def test_the_audit_refuses_what_is_no_parquet(any_lake: Lake) -> None:
    def text(attempt: Attempt) -> list[FileEntry]:
        any_lake.store.put(f"{attempt.folder}/x.parquet", b"no parquet at all")
        return [FileEntry(f"{attempt.folder}/x.parquet", 17, "0" * 64, 1)]

    with pytest.raises(Corrupt, match="footer cannot be read"):
        publish_as(any_lake, text)


def test_the_audit_compares_columns_with_the_contract(any_lake: Lake) -> None:
    other = scores(1, 2).drop_columns(["material_id"]).set_column(0, "ordinal", pa.array([1, 2], pa.int64()))
    commit = publish_as(
        any_lake,
        lambda attempt: [
            any_lake.write_file("material_scores", attempt.folder, other, "x.parquet", conform=False)
        ],
    )
    assert not any_lake.require("material_scores", ds=DS).files[0].conforms

    def pretend(attempt: Attempt) -> list[FileEntry]:
        entry = any_lake.write_file("material_scores", attempt.folder, other, "x.parquet", conform=False)
        return [replace(entry, conforms=True)]

    with pytest.raises(
        Corrupt, match=r"ordinal: int64, contract uint32; material_id: absent, contract string"
    ):
        publish_as(any_lake, pretend)
    assert any_lake.require("material_scores", ds=DS) == commit


def test_a_footer_longer_than_one_read_is_read_whole(any_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("angelia.lake.attempt.TAIL_BYTES", 16)
    assert publish(any_lake).rows == 2


def test_a_broken_table_is_refused_before_it_is_written(any_lake: Lake) -> None:
    with pytest.raises(InvalidInput, match="missing columns"):
        publish(any_lake, scores(1).drop_columns(["p_open"]))
    assert list(any_lake.store.list("")) == []


def test_same_rows_same_bytes(any_lake: Lake) -> None:
    assert publish(any_lake).files[0].sha256 == publish(any_lake).files[0].sha256
