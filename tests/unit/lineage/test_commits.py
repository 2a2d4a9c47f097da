"""A task's outputs are its day's newest commits, its inputs what these cite."""

from __future__ import annotations

from angelia.contracts.rows import valid_rows
from angelia.lake import Commit, Lake
from angelia.lineage import commits_of

DS = "2026-11-14"


def put(lake: Lake, name: str, *inputs: Commit, ds: str = DS) -> Commit:
    with lake.attempt(name, ds=ds) as attempt:
        attempt.write(valid_rows(name, 10), "part-0000.parquet", conform=False)
        return attempt.publish(inputs=inputs)


def version(commit: Commit) -> str:
    return commit.citation().split("/", 1)[1]


def test_outputs_are_newest_and_inputs_are_cited(lake: Lake) -> None:
    before, events = put(lake, "user_events", ds="2026-11-13"), put(lake, "user_events")
    put(lake, "user_days", events)
    days = put(lake, "user_days", events, before)
    pushes = put(lake, "user_pushes", events)
    put(lake, "user_days", events, ds="2026-11-15")
    read, written = commits_of(lake, ["user_days", "user_pushes"], DS)
    assert read == {"main/user_events": [version(before), version(events)]}
    assert written == {"main/user_days": [version(days)], "main/user_pushes": [version(pushes)]}
    assert version(days).startswith(f"ds={DS}@2#")


def test_a_replay_names_its_branch_and_reads_main(lake: Lake) -> None:
    events, replay = put(lake, "user_events"), Lake(lake.store, "replay-x")
    put(replay, "user_days", events)
    read, written = commits_of(replay, ["user_days"], DS)
    assert (list(read), list(written)) == (["main/user_events"], ["replay-x/user_days"])


def test_what_was_never_written_is_left_out(lake: Lake) -> None:
    assert commits_of(lake, ["user_index", "user_days", "suppressions"], DS) == ({}, {})
