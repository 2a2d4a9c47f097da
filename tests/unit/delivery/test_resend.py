"""`angelia ledger resend`: only what no provider has seen, in its window, still wanted."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset, ids
from angelia.delivery.clock import SimulatedClock, lease_now
from angelia.delivery.ledger.resend import _refused, lines, resend
from angelia.delivery.manifest import sample_plan
from angelia.errors import Conflict, InvalidInput
from angelia.lake import Lake
from tests.unit.delivery.given import DS, HOUR, LOST, OK

NOON = datetime(2026, 11, 15, 4, 30, tzinfo=UTC)


def micros(at):
    return int(at.timestamp() * 1e6)


def preferences(lake, *words):
    """Each: (user, kind, name, whether they want it, minute of the hour)."""
    rows = [
        {
            "user_id": user,
            "kind": kind,
            "name": name,
            "is_opted_in": wants,
            "updated_ts": NOON.replace(minute=at),
        }
        for user, kind, name, wants, at in words
    ]
    with lake.attempt("user_preferences", ds="2026-11-15") as attempt:
        attempt.write(
            pa.Table.from_pylist(rows, schema=arrow.schema(dataset("user_preferences"))), "part-0000.parquet"
        )
        attempt.publish()


def suppress(lake, user):
    entry = {
        "entry_id": f"e{user}",
        "user_id": user,
        "channel": None,
        "address_hash": None,
        "since_ts": NOON,
        "reason": "unsubscribed",
    }
    lake.append_log(
        "suppressions", pa.Table.from_pylist([entry], schema=arrow.schema(dataset("suppressions")))
    )


def say(lake, action, n):
    entry = {
        "entry_id": f"s{n}",
        "campaign_id": "price_drop",
        "action": action,
        "at_ts": NOON.replace(second=n),
        "actor": "test",
        "reason": "wrong link",
    }
    lake.append_log("stops", pa.Table.from_pylist([entry], schema=arrow.schema(dataset("stops"))))


@pytest.fixture
def stopped(bench):
    """A plan of 20 whose campaign was stopped before its delivery.

    Three of them may go for a quarter of an hour only.
    """
    bench.plan(20, not_after=lambda n: datetime(2026, 11, 15, 4, 15 if n < 3 else 59, tzinfo=UTC))
    say(bench.lake, "stop", 0)
    bench.deliver()
    assert {row["outcome"] for row in bench.ledger().values()} == {"skipped"}
    return bench


def run(bench, *, dry_run=False, expect=None, days=(DS,), campaigns=("price_drop",), now=NOON):
    """Count, and queue what was counted just now or as `expect`."""

    def once(expect):
        return resend(bench.lake, list(days), set(campaigns), micros(now), lease_now(), expect=expect)

    return once(None) if dry_run else once(expect or once(None)["hash"])


def test_what_was_held_back_goes_once_it_resumes(stopped):
    bench = stopped
    preferences(bench.lake, ("u00000007", "topic", "promo", False, 1))
    suppress(bench.lake, "u00000008")
    with pytest.raises(InvalidInput, match="is stopped"):
        run(bench)
    say(bench.lake, "resume", 1)
    preview = run(bench, dry_run=True)
    assert preview["campaigns"] == {
        "price_drop": {"opted_out": 1, "resent": 15, "suppressed": 1, "window_closed": 3}
    }
    assert not bench.parts()[1:]  # only counted
    result = run(bench)
    assert result["campaigns"] == preview["campaigns"]
    assert sum(result["left_out"].values()) + result["resent"] == 20
    assert bench.deliver().delivered == {"accepted": 15, "skipped": -15}
    outcomes = [row["outcome"] for row in bench.ledger().values()]
    assert (outcomes.count("accepted"), outcomes.count("skipped")) == (15, 5)
    assert len(bench.wire.requests) == 15


def test_refusals_of_channel_and_topic_hold_in_a_resend(bench):
    bench.plan(6, guarantee=lambda n: "at_least_once" if n < 3 else "at_most_once")
    say(bench.lake, "stop", 0)
    bench.deliver()
    say(bench.lake, "resume", 1)
    refused = [
        (f"u{n:08d}", kind, name, False, 1)
        for n in (0, 3)
        for kind, name in (("channel", "fcm"), ("channel", "sms"))
    ]
    refused += [(f"u{n:08d}", "channel", "sms", False, 1) for n in (1, 4)]
    refused += [
        ("u00000002", "topic", "promo", False, 1),
        ("u00000005", "channel", "fcm", False, 1),
        ("u00000005", "channel", "fcm", True, 2),
    ]
    preferences(bench.lake, *refused)
    assert run(bench)["campaigns"] == {"price_drop": {"opted_out": 2, "resent": 4}}
    bench.deliver()
    assert {row["user_id"] for row in bench.ledger().values() if row["outcome"] == "skipped"} == {
        "u00000000",
        "u00000003",
    }


def once(n):
    return ids.message_id("price_drop", f"u{n:08d}", "once")


LONG = {"message_id": once, "guarantee": "at_least_once", "not_after": datetime(2026, 11, 18, 4, tzinfo=UTC)}
LATER, LATER_HOUR = "2026-11-16", "2026-11-17T04"


def test_a_message_that_a_later_plan_has_is_left_to_it(bench):
    bench.plan(6, **LONG)
    say(bench.lake, "stop", 0)
    bench.deliver()
    say(bench.lake, "resume", 1)
    sample_plan.make(bench.lake, LATER, 4, changes=LONG)
    at = datetime(2026, 11, 17, 5, tzinfo=UTC)
    assert run(bench, now=at, dry_run=True)["campaigns"] == {"price_drop": {"planned_again": 4, "resent": 2}}
    assert bench.deliver(ds=LATER, hours=(LATER_HOUR,)).delivered == {"accepted": 4}
    assert run(bench, now=at)["campaigns"] == {"price_drop": {"already_accepted": 4, "resent": 2}}
    assert bench.deliver(clock=SimulatedClock(micros(at))).delivered == {"accepted": 2, "skipped": -2}


def test_a_message_that_an_earlier_plan_sends_goes_once(bench):
    bench.plan(6, **LONG)
    say(bench.lake, "stop", 0)
    bench.deliver()
    say(bench.lake, "resume", 1)
    sample_plan.make(bench.lake, "2026-11-12", 2, changes=LONG)
    assert run(bench, dry_run=True)["campaigns"] == {"price_drop": {"pending": 2, "resent": 4}}
    bench.deliver(ds="2026-11-12", hours=("2026-11-13T04",))
    assert run(bench)["campaigns"] == {"price_drop": {"already_accepted": 2, "resent": 4}}


def test_a_second_resend_puts_up_nothing_twice(stopped):
    bench = stopped
    say(bench.lake, "resume", 1)
    assert run(bench)["resent"] == 17
    again = run(bench)
    assert again["campaigns"] == {"price_drop": {"pending": 20}}
    bench.deliver()
    after = run(bench)
    assert after["campaigns"] == {"price_drop": {"already_accepted": 17, "window_closed": 3}}
    assert bench.deliver().delivered == {}


def test_what_may_have_arrived_is_never_put_up(bench):
    bench.plan(6)
    bench.deliver()
    assert run(bench)["campaigns"] == {"price_drop": {"already_accepted": 6}}


def test_what_got_no_answer_is_never_put_up(bench):
    bench.plan(6)
    bench.deliver(lambda _, message: LOST if int(message["token"][8:16]) < 4 else OK)
    result = run(bench)
    assert result["campaigns"] == {"price_drop": {"already_accepted": 2, "already_ambiguous": 4}}
    assert result["resent"] == 0


def test_an_unfinished_part_is_left_to_the_delivery(bench):
    bench.plan(6)
    assert run(bench)["campaigns"] == {"price_drop": {"pending": 6}}


def test_days_without_a_plan_and_unknown_campaigns_are_named(bench):
    bench.plan(2)
    result = run(bench, days=("2026-11-13", DS))
    assert result["no_plan"] == ["2026-11-13"]
    assert any("2026-11-13" in line for line in lines(result))
    with pytest.raises(InvalidInput, match="price_dorp"):
        run(bench, campaigns=("price_dorp",))


def test_a_replay_is_never_resent(bench):
    bench.plan(2)
    with pytest.raises(InvalidInput, match="only main"):
        resend(
            Lake(bench.lake.store, branch="replay-x"),
            [DS],
            {"price_drop"},
            micros(NOON),
            lease_now(),
        )


def test_only_what_was_counted_is_put_up(stopped):
    bench = stopped
    say(bench.lake, "resume", 1)
    counted = run(bench, dry_run=True)
    assert lines(counted)[-1] == f"to queue these and no others: add --yes --expect {counted['hash']}"
    assert run(bench, dry_run=True)["hash"] == counted["hash"], "nothing was written by counting"
    earlier = bench.lake.store.children(f"followups/{DS}/{HOUR}")
    at, rows = counted["hash"].split("-")
    for other in (f"{at}-{'0' * 16}", f"{int(at) - 1}-{rows}"):
        with pytest.raises(Conflict, match="nothing was queued"):
            run(bench, expect=other)
    assert bench.lake.store.children(f"followups/{DS}/{HOUR}") == earlier
    assert run(bench, expect=counted["hash"])["resent"] == counted["resent"] == 17


def test_rows_that_were_not_counted_are_not_put_up(bench):
    """A part that was still delivered when it was counted has become lacking since."""
    bench.plan(6)
    counted = run(bench, dry_run=True)
    assert counted["campaigns"] == {"price_drop": {"pending": 6}}
    say(bench.lake, "stop", 0)
    bench.deliver()
    say(bench.lake, "resume", 1)
    with pytest.raises(Conflict, match="what may go again is not what was counted"):
        run(bench, expect=counted["hash"])
    assert not bench.parts()[1:]


def test_who_refuses_between_count_and_answer_is_left_out(stopped):
    bench = stopped
    say(bench.lake, "resume", 1)
    counted = run(bench, dry_run=True)
    preferences(bench.lake, ("u00000007", "topic", "promo", False, 1))
    suppress(bench.lake, "u00000008")
    result = run(bench, expect=counted["hash"])
    assert result["campaigns"] == {
        "price_drop": {"opted_out": 1, "resent": 15, "suppressed": 1, "window_closed": 3}
    }


def test_a_window_that_closes_before_the_answer_is_left_out(stopped):
    bench = stopped
    say(bench.lake, "resume", 1)
    early = NOON.replace(minute=10)
    counted = run(bench, dry_run=True, now=early)
    assert counted["campaigns"] == {"price_drop": {"resent": 20}}
    result = run(bench, expect=counted["hash"])
    assert result["campaigns"] == {"price_drop": {"resent": 17, "window_closed": 3}}


@pytest.mark.parametrize("expect", ["", "x", "17", "1-0123456789abcdef ", "-1-0123456789abcdef"])
def test_what_is_no_hash_of_a_count_is_refused(stopped, expect):
    say(stopped.lake, "resume", 1)
    with pytest.raises(InvalidInput, match="is not the hash of a count"):
        resend(stopped.lake, [DS], {"price_drop"}, micros(NOON), lease_now(), expect=expect)
    assert not stopped.parts()[1:]


def test_an_unknown_campaign_stops_before_anything_is_put_up(stopped):
    say(stopped.lake, "resume", 1)
    with pytest.raises(InvalidInput, match="price_dorp"):
        run(stopped, campaigns=("price_drop", "price_dorp"), expect=f"{micros(NOON)}-{'0' * 16}")
    assert not stopped.parts()[1:]


def test_preferences_of_a_mistyped_year_hide_no_refusal(lake: Lake) -> None:
    at = datetime(2026, 11, 14, 12, tzinfo=UTC)
    for ds, user in (("2026-11-15", "u1"), ("2062-05-08", "u2")):
        row = {"user_id": user, "kind": "channel", "name": "fcm", "is_opted_in": False, "updated_ts": at}
        with lake.attempt("user_preferences", ds=ds) as attempt:
            attempt.write(
                pa.Table.from_pylist([row], schema=arrow.schema(dataset("user_preferences"))),
                "part-0000.parquet",
            )
            attempt.publish()
    assert _refused(lake, "2026-11-14") == {("u1", "channel", "fcm"), ("u2", "channel", "fcm")}


def test_a_newer_snapshot_without_it_ends_no_refusal(lake: Lake) -> None:
    preferences(lake, ("u0", "channel", "fcm", False, 1), ("u1", "channel", "fcm", False, 1))
    preferences(lake)  # imported again, and empty: no gate has seen it
    asked = ("2026-11-14", "2026-11-15", "2026-11-20")
    assert {user for since in asked for user, _, _ in _refused(lake, since)} == {"u0", "u1"}
    preferences(lake, ("u1", "channel", "fcm", True, 2))
    assert _refused(lake, "2026-11-14") == {("u0", "channel", "fcm")}
