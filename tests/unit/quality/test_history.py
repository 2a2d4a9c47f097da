"""What is known of the last days, and what of it cannot be read."""

from __future__ import annotations

from angelia.contracts.rows import valid_rows
from angelia.lake import Lake
from angelia.quality.history import days_checked, gather, short_day
from angelia.quality.report import render
from tests.unit.quality.week import LAST, squares


def test_what_cannot_be_read_is_named_and_the_rest_is_shown(week: Lake) -> None:
    week.store.create("quality/main/2026-11-12/plan/0001.json", b"[{torn")
    week.store.create("quality/main/2026-11-12/guard/0001.json", b"{torn")
    with week.attempt("user_days", ds=LAST) as attempt:
        attempt.write(valid_rows("user_days", 10), "part-0000.parquet")
        commit = attempt.publish()
    path = week.store.local_path(commit.key)
    assert path is not None
    path.chmod(0o644)
    path.write_bytes(b"{}")
    history = gather(week, LAST, 28)
    assert len(history.unreadable) == 3
    page = render(history)
    assert "quality/main/2026-11-12/plan/0001.json is not JSON" in page
    assert squares(page)["user_events"][-1] == "14 failed"


def test_days_are_those_with_verdicts_and_no_other_folder(week: Lake) -> None:
    week.store.create("quality/main/not-a-day/sources/0001.json", b"[]")
    week.store.create("quality/main/20261112/sources/0001.json", b"[]")
    assert days_checked(week) == ["2026-11-10", "2026-11-11", "2026-11-13", LAST]
    assert days_checked(Lake(week.store, "replay-x")) == []


def test_each_day_has_a_place_and_nothing_is_none(week: Lake) -> None:
    for ds, n in (("2026-11-12", 3), (LAST, 5)):
        with week.attempt("user_profiles", ds=ds) as attempt:
            attempt.write(valid_rows("user_profiles", n), "part-0000.parquet")
            attempt.publish(rejects={"bad id": 2} if n == 5 else None)
    history = gather(week, LAST, 4)
    assert history.days == ("2026-11-11", "2026-11-12", "2026-11-13", LAST)
    assert history.rows == {"user_profiles": [None, 3, None, 5]}
    assert history.rejects == {("user_profiles", "bad id"): [None, 0, None, 2]}
    assert [len(history.of(day)) for day in history.days] == [2, 0, 2, 3]
    assert set(history.guard) == {"2026-11-13", LAST}
    assert short_day("2026-11-04") == "4 Nov"
