"""The later word holds, in whatever order words come in; a complaint holds for good."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelia.contracts import arrow, dataset
from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.users.profiles import contact_features
from angelia.users.registered import register
from angelia.users.suppressions import (
    Guards,
    Refusals,
    close_person,
    open_person,
    refusals_of,
    returns,
)

DAY = datetime(2026, 11, 1, tzinfo=UTC)
Word = tuple[str | None, str, int]  # channel, reason, day


def log_of(*words: Word, user: str = "u1") -> pa.Table:
    entries = [
        {
            "entry_id": f"e{number}",
            "user_id": user,
            "channel": channel,
            "since_ts": DAY + timedelta(days=day),
            "reason": reason,
        }
        for number, (channel, reason, day) in enumerate(words)
    ]
    return pa.Table.from_pylist(entries, schema=arrow.schema(dataset("suppressions")))


CASES: dict[str, tuple[list[Word], set[str], bool]] = {
    # words -> the channels of fcm, sms that are closed, and whether the person is suppressed everywhere
    "refused": ([("sms", "unsubscribed", 1)], {"sms"}, False),
    "and back": ([("sms", "unsubscribed", 1), ("sms", "opted_in", 2)], set(), False),
    "back before": ([("sms", "unsubscribed", 2), ("sms", "opted_in", 1)], {"sms"}, False),
    "at one time": ([("sms", "unsubscribed", 2), ("sms", "opted_in", 2)], {"sms"}, False),
    "and out again": (
        [("sms", "unsubscribed", 1), ("sms", "opted_in", 2), ("sms", "unsubscribed", 3)],
        {"sms"},
        False,
    ),
    "another channel": ([("sms", "unsubscribed", 1), ("fcm", "opted_in", 2)], {"sms"}, False),
    "a complaint": ([("sms", "complaint", 1), ("sms", "opted_in", 2)], {"sms"}, False),
    "both": ([("sms", "unsubscribed", 1), ("sms", "complaint", 1), ("sms", "opted_in", 2)], {"sms"}, False),
    "erased": ([(None, "erased", 1), ("sms", "opted_in", 2)], {"fcm", "sms"}, True),
    "an operator": ([(None, "operator", 1), (None, "opted_in", 2)], {"fcm", "sms"}, True),
    "of all channels": ([(None, "unsubscribed", 1)], {"fcm", "sms"}, True),
    "back to one": ([(None, "unsubscribed", 1), ("sms", "opted_in", 2)], {"fcm"}, False),
    "back to all": ([("sms", "unsubscribed", 1), (None, "opted_in", 2)], set(), False),
    "a complaint there": (
        [(None, "unsubscribed", 1), ("sms", "opted_in", 2), ("sms", "complaint", 0)],
        {"fcm", "sms"},
        False,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_later_word_holds_unless_it_was_a_complaint(case: str, lake: Lake) -> None:
    words, closed, is_out = CASES[case]
    for given_ in (words, words[::-1]):
        refusals = refusals_of(log_of(*given_))
        assert {name for name in ("fcm", "sms") if refusals.closed("u1", name)} == closed
        assert refusals.closed_everywhere("u1") == is_out
        assert not refusals.closed("u2", "sms")
    lake.append_log("suppressions", log_of(*words))
    guards = Guards(lake, "2026-11-14", lambda: 0)
    assert asyncio.run(guards.refresh())
    for name in ("fcm", "sms"):
        wanted = ["suppressed" if name in closed else None, None]
        assert guards.blocked(["c", "c"], ["u1", "u2"], name, ["a", "b"]) == wanted


def test_both_logs_are_read_again_after_ten_seconds(lake: Lake) -> None:
    now = [0]
    guards = Guards(lake, "2026-11-14", lambda: now[0])
    assert not guards.is_fresh()
    assert asyncio.run(guards.refresh())
    lake.append_log("suppressions", log_of(("sms", "unsubscribed", 1)))
    for instant, is_fresh in ((10_000_000, True), (10_000_001, False)):
        now[0] = instant
        assert guards.is_fresh() == is_fresh
    assert guards.blocked(["c"], ["u1"], "sms", ["a"]) == [None]
    assert asyncio.run(guards.refresh())
    assert guards.blocked(["c"], ["u1"], "sms", ["a"]) == ["suppressed"]


@pytest.mark.parametrize("case", CASES)
def test_the_night_and_the_gate_agree(case: str) -> None:
    words, closed, is_out = CASES[case]
    have: Any = pa.array([["fcm", "sms"], ["fcm", "sms"]])
    none: Any = pa.array([None, None], pa.list_(pa.string()))
    columns = contact_features(pa.array(["u1", "u2"]), have, none, none, log_of(*words), date(2026, 11, 14))
    assert columns["is_suppressed"].to_pylist() == [is_out, False]
    if not is_out:  # else nothing is planned for the person, whatever the channels
        assert set(columns["channels"].to_pylist()[0]) == {"fcm", "sms"} - closed
    assert columns["channels"].to_pylist()[1] == ["fcm", "sms"]
    earlier = contact_features(
        pa.array(["u1"]), have[:1], none[:1], none[:1], log_of(*words), date(2026, 10, 31)
    )
    assert earlier["channels"].to_pylist() == [["fcm", "sms"]]


words = st.lists(
    st.tuples(
        st.sampled_from([None, "fcm", "sms"]),
        st.sampled_from(["unsubscribed", "opted_in", "complaint"]),
        st.integers(0, 4),
    ),
    max_size=6,
)


@given(words)
def test_every_order_of_words_comes_to_the_same(entries: list[Word]) -> None:
    def closed(words: list[Word], channel: str) -> bool:
        refusals = Refusals()
        for of, reason, day in words:
            refusals.add("u1", of, reason, day)
        return refusals.closed("u1", channel)

    for channel in ("fcm", "sms"):
        about = [(reason, day) for of, reason, day in entries if of in (None, channel)]
        no = max((day for reason, day in about if reason == "unsubscribed"), default=-1)
        yes = max((day for reason, day in about if reason == "opted_in"), default=-1)
        wanted = any(reason == "complaint" for reason, _ in about) or (no >= 0 and yes <= no)
        assert closed(entries, channel) == closed(entries[::-1], channel) == wanted


def test_only_who_unsubscribed_before_returns_and_once() -> None:
    log = pa.concat_tables(
        [
            log_of(("sms", "unsubscribed", 1)),
            log_of(("sms", "complaint", 1), user="u2"),
            log_of(("sms", "unsubscribed", 1), user="u3"),
            log_of(("sms", "unsubscribed", 1), ("sms", "complaint", 1), user="u4"),
            log_of(("sms", "unsubscribed", 1), (None, "erased", 1), user="u5"),
        ]
    )

    def at(day: int) -> int:
        return round((DAY + timedelta(days=day)).timestamp() * 1e6)

    opted_in = [("u1", "sms", at(2)), ("u1", "fcm", at(2)), ("u2", "sms", at(2)), ("u3", "sms", at(1))]
    opted_in += [("u4", "sms", at(2)), ("u5", "sms", at(2))]
    entries = returns(log, opted_in)
    assert [(entry["user_id"], entry["channel"], entry["reason"]) for entry in entries.to_pylist()] == [
        ("u1", "sms", "opted_in")
    ]
    assert entries["since_ts"].to_pylist() == [DAY + timedelta(days=2)]
    after = pa.concat_tables([log, entries])
    assert not refusals_of(after).closed("u1", "sms")
    assert returns(after, opted_in).num_rows == 0


@pytest.mark.parametrize("channel", [None, "fcm"])
def test_a_person_is_closed_and_opened_again(lake: Lake, channel: str | None) -> None:
    def closed(name: str) -> bool:
        return refusals_of(lake.read_log("suppressions")).closed("u1", name)

    at = datetime(2026, 11, 15, 9, tzinfo=UTC)
    assert close_person(lake, "u1", channel, for_good=False, at=at)
    assert not close_person(lake, "u1", channel, for_good=False, at=at)
    assert (closed("fcm"), closed("sms")) == (True, channel is None)
    assert open_person(lake, "u1", channel, at=at + timedelta(seconds=1))
    assert not open_person(lake, "u1", channel, at=at + timedelta(seconds=2))
    assert (closed("fcm"), closed("sms")) == (False, False)
    assert close_person(lake, "u1", channel, for_good=True, at=at + timedelta(seconds=3))
    with pytest.raises(InvalidInput, match="closed for good"):
        open_person(lake, "u1", channel, at=at + timedelta(seconds=4))


def test_all_channels_close_again_after_one_was_opened(lake: Lake) -> None:
    at = datetime(2026, 11, 15, 9, tzinfo=UTC)
    assert close_person(lake, "u1", None, for_good=False, at=at)
    assert open_person(lake, "u1", "fcm", at=at + timedelta(seconds=1))
    assert close_person(lake, "u1", None, for_good=False, at=at + timedelta(seconds=2))
    assert refusals_of(lake.read_log("suppressions")).closed("u1", "fcm")


def test_what_is_decided_last_holds_whatever_the_clocks_say(lake: Lake) -> None:
    at = datetime(2026, 11, 15, 9, tzinfo=UTC)
    for behind in range(3):
        assert close_person(lake, "u1", None, for_good=False, at=at - timedelta(hours=behind))
        assert refusals_of(lake.read_log("suppressions")).closed("u1", "fcm")
        assert open_person(lake, "u1", None, at=at - timedelta(hours=behind + 1))
        assert not refusals_of(lake.read_log("suppressions")).closed("u1", "fcm")


def test_a_topic_refused_since_the_plan_is_not_sent(lake: Lake) -> None:
    """What is older than the plan was known to it, with what has been imported since."""
    planned_until = DAY + timedelta(days=14)

    def choose_at(at: datetime, is_yes: bool, topic: str = "promo", kind: str = "topic") -> None:
        row = {"user_id": "u1", "kind": kind, "name": topic, "is_opted_in": is_yes, "updated_ts": at}
        schema = arrow.schema(dataset("preference_choices"))
        lake.append_log("preference_choices", pa.Table.from_pylist([row], schema=schema))

    def blocked() -> list[str | None]:
        assert asyncio.run(guards.refresh())
        return guards.blocked(["c"] * 3, ["u1", "u1", "u2"], "fcm", ["a"] * 3, ["promo", "news", "promo"])

    guards = Guards(lake, "2026-11-14", lambda: 0)
    choose_at(planned_until - timedelta(seconds=1), False)
    choose_at(planned_until, False, "news", "channel")
    assert blocked() == [None, None, None]
    choose_at(planned_until, False)
    assert blocked() == ["suppressed", None, None]
    choose_at(planned_until, True)  # at one time no holds
    assert blocked() == ["suppressed", None, None]
    choose_at(planned_until + timedelta(seconds=1), True)
    assert blocked() == [None, None, None]


def test_a_phone_that_changed_hands_since_the_plan_gets_nothing(lake: Lake) -> None:
    guards = Guards(lake, "2026-11-14", lambda: 0)

    def blocked() -> list[str | None]:
        assert asyncio.run(guards.refresh())
        return guards.blocked(["c"] * 3, ["u1", "u2", "u3"], "fcm", ["token-a", "token-a", "token-b"])

    assert blocked() == [None, None, None]
    word = {"channel": "fcm", "registered_ts": DAY + timedelta(days=14), "is_active": True}
    register(lake, [word | {"user_id": "u2", "address": "token-a"}])
    assert blocked() == ["address_gone", None, None]
    register(lake, [word | {"user_id": "u3", "address": "token-b", "is_active": False}])
    assert blocked() == ["address_gone", None, "address_gone"]


def test_quiet_hours_chosen_since_the_plan_are_known_by_row(lake: Lake) -> None:
    planned_until = DAY + timedelta(days=14)

    def choose(user: str, hours: str, minutes: int, is_yes: bool = True) -> None:
        row = {"user_id": user, "kind": "quiet_hours", "name": hours, "is_opted_in": is_yes}
        row["updated_ts"] = planned_until + timedelta(minutes=minutes)
        schema = arrow.schema(dataset("preference_choices"))
        lake.append_log("preference_choices", pa.Table.from_pylist([row], schema=schema))

    guards = Guards(lake, "2026-11-14", lambda: 0)
    choose("u1", "21-7", -1)  # the night knew it
    choose("u2", "20-6", 0)
    choose("u2", "19-6", 2)
    choose("u2", "18-6", 1)  # told later, and older
    choose("u3", "22-8", 0)
    choose("u3", "22-8", 0, is_yes=False)
    choose("u4", "at night", 0)
    assert asyncio.run(guards.refresh())
    assert guards.quiet_of(["u4", "u3", "u2", "u1", "u2"]) == {2: (19, 6), 4: (19, 6)}
