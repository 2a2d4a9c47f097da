"""`angelia ledger resend`: only what no provider has seen, is in its window, and still wanted."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.delivery.resend import lines, resend
from angelia.delivery.run import lease_now
from angelia.errors import InvalidInput
from angelia.lake import Lake

DS, HOUR = "2026-11-14", "2026-11-15T04"
NOON = datetime(2026, 11, 15, 4, 30, tzinfo=UTC)


def micros(at):
    return int(at.timestamp() * 1e6)


def preferences(lake, *refusing):
    rows = [{"user_id": user, "kind": "topic", "name": "promo", "is_opted_in": False, "updated_ts": NOON} for user in refusing]
    with lake.attempt("user_preferences", ds="2026-11-15") as attempt:
        attempt.write(pa.Table.from_pylist(rows, schema=arrow.schema(dataset("user_preferences"))), "part-0000.parquet")
        attempt.publish()


def suppress(lake, user):
    entry = {"entry_id": f"e{user}", "user_id": user, "channel": None, "address_hash": None, "since_ts": NOON, "reason": "unsubscribed"}
    lake.append_log("suppressions", pa.Table.from_pylist([entry], schema=arrow.schema(dataset("suppressions"))))


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
    """A plan of 20 whose campaign was stopped before its delivery; three of them may go for a quarter of an hour only."""
    bench.plan(20, not_after=lambda n: datetime(2026, 11, 15, 4, 15 if n < 3 else 59, tzinfo=UTC))
    say(bench.lake, "stop", 0)
    bench.deliver()
    assert {row["outcome"] for row in bench.ledger().values()} == {"skipped"}
    return bench


def run(bench, *, dry_run=False, days=(DS,), campaigns=("price_drop",), now=NOON):
    return resend(bench.lake, list(days), set(campaigns), micros(now), lease_now(), dry_run=dry_run)


def test_what_was_held_back_goes_once_the_campaign_resumes_and_every_row_is_counted(stopped):
    bench = stopped
    preferences(bench.lake, "u00000007")
    suppress(bench.lake, "u00000008")
    with pytest.raises(InvalidInput, match="is stopped"):
        run(bench)
    say(bench.lake, "resume", 1)
    preview = run(bench, dry_run=True)
    assert preview["campaigns"] == {"price_drop": {"opted_out": 1, "resent": 15, "suppressed": 1, "window_closed": 3}}
    assert not bench.parts()[1:]  # only counted
    result = run(bench)
    assert result["campaigns"] == preview["campaigns"]
    assert sum(result["left_out"].values()) + result["resent"] == 20
    assert bench.deliver().delivered == {"accepted": 15, "skipped": -15}
    outcomes = [row["outcome"] for row in bench.ledger().values()]
    assert (outcomes.count("accepted"), outcomes.count("skipped")) == (15, 5)
    assert len(bench.wire.requests) == 15


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


def test_an_unfinished_part_is_left_to_the_delivery(bench):
    bench.plan(6)
    assert run(bench)["campaigns"] == {"price_drop": {"pending": 6}}


def test_days_without_a_plan_are_named_and_an_unknown_campaign_is_an_error(bench):
    bench.plan(2)
    result = run(bench, days=("2026-11-13", DS))
    assert result["no_plan"] == ["2026-11-13"]
    assert any("2026-11-13" in line for line in lines(result))
    with pytest.raises(InvalidInput, match="price_dorp"):
        run(bench, campaigns=("price_dorp",))


def test_a_replay_is_never_resent(bench):
    bench.plan(2)
    with pytest.raises(InvalidInput, match="only main"):
        resend(Lake(bench.lake.store, branch="replay-x"), [DS], {"price_drop"}, micros(NOON), lease_now(), dry_run=True)
