"""Superseded choices leave their log, and every reader still finds the last ones."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from angelia.lake import Lake
from angelia.lake.expire import expire
from angelia.users import registered
from angelia.users.choices import CHOICES, choose, chosen, compact_choices, words_of
from angelia.users.person_log import PersonLog
from angelia.users.registered import KEPT_DAYS
from angelia.users.suppressions import Guards

AT = datetime(2026, 11, 15, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
LEAF = {"log": "0"}


@pytest.fixture
def changed(lake: Lake) -> Lake:
    """Return a log in which a person changed their mind on a topic and a language long ago."""
    choose(lake, "u1", {("topic", "promo"): False, ("language", "de"): True}, AT)
    choose(lake, "u2", {("topic", "promo"): False}, AT)
    choose(lake, "u1", {("topic", "promo"): True, ("language", "fr"): True}, AT + HOUR)
    choose(lake, "u1", {("language", "fr"): False}, AT + 2 * HOUR)
    return lake


def later(lake: Lake, days: int) -> Lake:
    return Lake(lake.store, clock=lambda: AT + timedelta(days=days))


def test_only_what_was_superseded_for_a_month_goes(changed: Lake) -> None:
    before = words_of(changed, "u1")
    assert compact_choices(changed, AT + timedelta(days=KEPT_DAYS)) == 0, "the last words are younger"
    assert compact_choices(changed, AT + timedelta(days=KEPT_DAYS) + 3 * HOUR) == 2
    assert compact_choices(changed, AT + timedelta(days=90)) == 0, "once"
    assert words_of(changed, "u1") == before
    assert chosen(before, "language") is None
    whole = expire(later(changed, 60), 30)
    assert len([name for name in whole.commits if CHOICES in name]) == 4
    fresh = Lake(changed.store)
    assert fresh.numbers("main", CHOICES, LEAF) == [5]
    assert words_of(fresh, "u1") == before
    assert words_of(fresh, "u2") == {("topic", "promo"): False}
    assert PersonLog(fresh, CHOICES).of("u2")[0]["is_opted_in"] is False


def test_a_worker_begins_after_choices_expired(changed: Lake) -> None:
    compact_choices(changed, AT + timedelta(days=60))
    expire(later(changed, 120), 30)
    guards = Guards(Lake(changed.store), "2026-11-10", lambda: 0)
    assert asyncio.run(guards.refresh())
    assert guards.blocked(["c"] * 2, ["u1", "u2"], "fcm", ["a"] * 2, ["promo"] * 2) == [None, "suppressed"]


def test_a_lost_commit_is_no_expired_one(changed: Lake) -> None:
    (path,) = (changed.store.local_path(f"main/{CHOICES}/log=0/_commits/0000000{n}.json") for n in [2])
    assert path is not None
    path.unlink()
    guards = Guards(Lake(changed.store), "2026-11-10", lambda: 0)
    assert not asyncio.run(guards.refresh()), "nothing is sent while a word may be missing"


def test_a_page_that_slept_for_days_finds_new_words(changed: Lake) -> None:
    clock = {"now": AT}
    log = PersonLog(Lake(changed.store, clock=lambda: clock["now"]), CHOICES)
    assert len(log.of("u1")) == 5
    compact_choices(changed, AT + timedelta(days=60))
    expire(later(changed, 120), 30)
    choose(changed, "u1", {("topic", "promo"): False}, AT + timedelta(days=120))
    clock["now"] = AT + timedelta(days=120)
    assert log.of("u1")[-1]["is_opted_in"] is False


def test_many_small_commits_become_one(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registered, "MANY_COMMITS", 4)
    for n in range(4):
        choose(lake, f"u{n}", {("topic", "promo"): False}, AT)
    assert compact_choices(lake, AT) == 0
    assert lake.numbers("main", CHOICES, LEAF) == [1, 2, 3, 4, 5]
    assert lake.read(lake.head(CHOICES, **LEAF)).num_rows == 4
