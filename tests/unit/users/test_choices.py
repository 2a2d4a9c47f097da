"""What people chose: the last word holds, and a channel closed for good stays closed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from angelia.lake import Lake
from angelia.users.choices import LANGUAGE, changed, choose, chosen, openness, words_of
from angelia.users.since_plan.new_choices import QUIET_HOURS
from angelia.users.suppressions import close_person

NOW = datetime(2026, 11, 15, 9, tzinfo=UTC)
PROMO, SMS = ("topic", "promo"), ("channel", "sms")


def test_the_last_word_holds_for_this_person_alone(lake: Lake) -> None:
    assert choose(lake, "u1", {PROMO: False, SMS: True}, NOW) == set()
    choose(lake, "u2", {PROMO: True}, NOW + timedelta(hours=1))
    # A machine whose clock is behind still says the later word.
    choose(lake, "u1", {PROMO: True}, NOW - timedelta(hours=1))
    assert words_of(lake, "u1") == {PROMO: True, SMS: True}
    assert words_of(lake, "u3") == {}


def test_a_channel_is_closed_and_opened_again(lake: Lake) -> None:
    assert openness(lake, "u1", ["sms"], {}) == {"sms": True}
    choose(lake, "u1", {SMS: False}, NOW)
    assert openness(lake, "u1", ["sms"], words_of(lake, "u1")) == {"sms": False}
    assert openness(lake, "u1", ["sms"], {}) == {"sms": False}, "workers read the suppressions alone"
    choose(lake, "u1", {SMS: True}, NOW + timedelta(hours=1))
    assert openness(lake, "u1", ["sms"], words_of(lake, "u1")) == {"sms": True}


def test_a_channel_that_was_closed_for_good_cannot_be_had(lake: Lake) -> None:
    close_person(lake, "u1", "sms", for_good=True, at=NOW)
    assert choose(lake, "u1", {SMS: True, PROMO: False}, NOW + timedelta(hours=1)) == {SMS}
    assert words_of(lake, "u1") == {PROMO: False}
    assert openness(lake, "u1", ["sms"], words_of(lake, "u1")) == {"sms": False}


def test_of_languages_and_of_hours_the_newest_is_chosen(lake: Lake) -> None:
    for n, (kind, name) in enumerate(
        ((LANGUAGE, "de"), (LANGUAGE, "zh-CN"), (LANGUAGE, "de"), (QUIET_HOURS, "21-9"))
    ):
        choose(lake, "u1", changed(words_of(lake, "u1"), kind, name), NOW + n * timedelta(hours=1))
        assert chosen(words_of(lake, "u1"), kind) == name
    words = words_of(lake, "u1")
    assert (chosen(words, LANGUAGE), changed(words, LANGUAGE, "de")) == ("de", {})
    choose(lake, "u1", changed(words, LANGUAGE, None), NOW + timedelta(hours=9))
    words = words_of(lake, "u1")
    assert (chosen(words, LANGUAGE), chosen(words, QUIET_HOURS)) == (None, "21-9")
    assert changed(words, LANGUAGE, None) == {}
