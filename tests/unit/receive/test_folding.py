"""What came back counts once, and is placed where the night looks for it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from angelia.contracts import arrow, dataset
from angelia.delivery.ledger import outcomes
from angelia.delivery.manifest import parts, sample_plan
from angelia.lake import Lake
from angelia.lake.erasing.erase import erase
from angelia.lake.expire import expire
from angelia.receive.finding import dispatches as dispatches_of
from angelia.receive.folding import fold
from angelia.receive.journal import KEEP_DAYS, Event, Journal, parse
from angelia.users.suppressions import Guards
from tests.unit.delivery.given import DS
from tests.unit.receive.callbacks.given import AT, A
from tests.unit.receive.callers import NOW, Post, body_of, event, receipts, signed


def test_events_become_receipts_of_their_plan_day(lake: Lake, post: Post, dispatches: list[str]) -> None:
    body = body_of(
        event(dispatches[0]),
        event(dispatches[1], "delivered", "e2", reason="ok"),
        event(dispatches[2], "bounced", "e3"),
    )
    assert post("/events", body, signed(body)) == (200, {"taken": 3, "repeated": False})
    assert fold(lake, NOW) == {"receipts": 3, "suppressions": 0, "waiting": 0, "unknown": 0}
    rows = receipts(lake)
    kinds = sorted((row["user_id"], row["kind"], row["reason"]) for row in rows)
    assert kinds == [
        ("u00000000", "opened", None), ("u00000001", "delivered", "ok"), ("u00000002", "bounced", None),
    ]  # fmt: skip
    assert len({row["receipt_id"] for row in rows}) == 3
    assert all(row["sent_ts"] is not None and row["receipt_ts"] == NOW - timedelta(hours=1) for row in rows)
    assert lake.partitions("push_receipts", ds=DS, source="receive") == [
        {"ds": DS, "source": "receive", "part": "2026-11-15T05"}
    ]
    assert list(Journal(lake.store).pending()) == []


def test_whatever_is_said_twice_counts_once(lake: Lake, post: Post, dispatches: list[str]) -> None:
    body = body_of(event(dispatches[0]))
    post("/events", body, signed(body))
    assert post("/events", body, signed(body)) == (200, {"taken": 1, "repeated": True})
    fold(lake, NOW)
    again = body_of(
        event(dispatches[0]), event(dispatches[1], name="e2")
    )  # another request tells the same event, an hour later
    post("/events", again, signed(again, "msg-2"))
    assert fold(lake, NOW + timedelta(hours=1))["receipts"] == 1
    assert fold(lake, NOW) == {}
    assert sorted(row["user_id"] for row in receipts(lake)) == ["u00000000", "u00000001"]


@pytest.mark.parametrize("kind", ["unsubscribed", "complaint", "stop"])
def test_an_opt_out_holds_for_the_person_on_that_channel(
    kind: str, bench: Any, lake: Lake, post: Post, dispatches: list[str]
) -> None:
    body = body_of(event(dispatches[3], kind))
    post("/events", body, signed(body))
    assert fold(lake, NOW)["suppressions"] == 1
    [receipt] = receipts(lake)
    assert (receipt["kind"], receipt["reason"] == "complaint") == ("unsubscribed", kind == "complaint")
    (entry,) = lake.read_log("suppressions").to_pylist()
    expected = "complaint" if kind == "complaint" else "unsubscribed"
    assert (entry["user_id"], entry["channel"], entry["address_hash"], entry["reason"]) == (
        "u00000003",
        "fcm",
        None,
        expected,
    )
    sample_plan.make(lake, "2026-11-15", 5)
    assert bench.deliver(ds="2026-11-15", hours=("2026-11-16T04",)).delivered == {"accepted": 4, "skipped": 1}


def test_a_hard_bounce_ends_the_address_and_a_soft_one_does_not(
    bench: Any, lake: Lake, post: Post, dispatches: list[str]
) -> None:
    bounces = [
        event(dispatches[i], "bounced", f"e{i}", reason=reason)
        for i, reason in enumerate(("5.1.1", "hard", "4.2.2", "5.2.2"))
    ]
    body = body_of(*bounces, event(dispatches[4], "bounced", "e4"))
    post("/events", body, signed(body))
    assert fold(lake, NOW) == {"receipts": 5, "suppressions": 2, "waiting": 0, "unknown": 0}
    assert fold(lake, NOW) == {}
    entries = lake.read_log("suppressions").to_pylist()
    assert {
        (entry["user_id"], entry["channel"], entry["reason"], entry["since_ts"]) for entry in entries
    } == {(user, "fcm", "gone", NOW - timedelta(hours=1)) for user in ("u00000000", "u00000001")}
    assert all(entry["address_hash"] for entry in entries)  # this address, not the person
    guards = Guards(lake, DS, lambda: int(NOW.timestamp() * 1e6))
    assert asyncio.run(guards.refresh())
    rows = sorted(
        lake.read(lake.require("dispatch_manifest", ds=DS)).to_pylist(), key=lambda row: row["user_id"]
    )
    campaigns, users, addresses = (
        [row[name] for row in rows] for name in ("campaign_id", "user_id", "address")
    )
    assert guards.blocked(campaigns, users, "fcm", addresses) == [
        "address_gone",
        "address_gone",
        None,
        None,
        None,
    ]


def test_an_opt_out_holds_before_its_part_is_done(
    bench: Any, lake: Lake, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.plan(3)
    dispatch = str(lake.read(lake.require("dispatch_manifest", ds=DS), ["dispatch_id"])["dispatch_id"][0])
    body = body_of(event(dispatch, "stop"), event("0" * 32, name="e9"))
    post("/events", body, signed(body))
    assert fold(lake, NOW) == {
        "suppressions": 0,
        "receipts": 0,
        "waiting": 0,
        "unknown": 2,
    }  # not sealed: nobody can have got it
    parts.seal(lake, DS, "2026-11-15T04", "now")
    assert fold(lake, NOW) == {"suppressions": 1, "receipts": 0, "waiting": 1, "unknown": 1}
    assert bench.deliver().delivered == {"accepted": 2, "skipped": 1}
    assert fold(lake, NOW) == {"suppressions": 0, "receipts": 1, "waiting": 0, "unknown": 1}
    assert len(list(Journal(lake.store).pending())) == 1  # the unknown one is looked for while its day lasts
    fold(lake, NOW + timedelta(days=9))
    assert fold(lake, NOW + timedelta(days=9)) == {}  # the stop is placed, so the day may go


def test_a_stop_is_not_lost_to_another_event_of_its_id(
    bench: Any, lake: Lake, post: Post, dispatches: list[str]
) -> None:
    stop, opened = event(dispatches[0], "stop", name="1"), event(dispatches[1], "opened", name="1")
    second = event(dispatches[2], "stop", name="1")
    for n, body in enumerate((body_of(opened, stop), body_of(second))):
        assert post("/events", body, signed(body, f"msg-{n}"))[0] == 200
    assert fold(lake, NOW)["suppressions"] == 2
    assert fold(lake, NOW) == {}


def test_events_of_one_id_are_all_receipts(lake: Lake, post: Post, dispatches: list[str]) -> None:
    """In one request, in later ones, in other hours, of another kind or for another dispatch."""
    hours = [(NOW - timedelta(hours=back)).isoformat() for back in (1, 2)]
    events_of_id = [
        [
            event(dispatches[0], name="1"),
            event(dispatches[1], name="1"),
            event(dispatches[0], "delivered", "1"),
        ],
        [
            event(dispatches[2], name="1"),
            event(dispatches[3], "stop", "1"),
            event(dispatches[3], "complaint", "1"),
        ],
        [event(dispatches[4], name="1", at=hours[1])],
    ]
    for n, events in enumerate(events_of_id):
        body = body_of(*events)
        assert post("/events", body, signed(body, f"msg-{n}"))[0] == 200
        assert fold(lake, NOW)["receipts"] == len(events)
    every = [one for events in events_of_id for one in events]
    body = body_of(*reversed(every))
    assert post("/events", body, signed(body, "msg-again"))[0] == 200
    assert fold(lake, NOW)["receipts"] == 0
    rows = receipts(lake)
    assert len(rows) == len({row["receipt_id"] for row in rows}) == len(every)


@pytest.mark.parametrize("secret", [{"sms": b"a" * 32, "app": b"b" * 32}])
def test_callers_who_number_alike_are_told_apart(
    secret: dict[str, bytes], lake: Lake, post: Post, dispatches: list[str]
) -> None:
    for caller, kind in (("sms", "stop"), ("app", "opened"), ("sms", "opened")):
        body = body_of(event(dispatches[0], kind, name="1"))
        answer = post("/events", body, signed(body, "1", secret[caller]))
        assert answer == (200, {"taken": 1, "repeated": False})
    assert fold(lake, NOW) == {"receipts": 3, "suppressions": 1, "waiting": 0, "unknown": 0}


def test_receipts_of_an_older_version_are_not_doubled(lake: Lake, dispatches: list[str]) -> None:
    events, _ = parse(body_of(event(dispatches[0])), NOW)
    Journal(lake.store).keep(events, NOW)
    fold(lake, NOW)
    (leaf,) = lake.partitions("push_receipts", ds=DS, source="receive")
    old = lake.read(lake.require("push_receipts", **leaf))
    names = pa.array(["e1"], pa.string())
    with lake.attempt("push_receipts", **leaf) as attempt:
        columns = old.select(arrow.schema(dataset("push_receipts")).names)
        attempt.write(columns.set_column(0, columns.schema.field(0), names), "part-0000.parquet")
        attempt.publish()
    Journal(lake.store).keep(events, NOW)
    assert fold(lake, NOW)["receipts"] == 0
    assert [row["receipt_id"] for row in receipts(lake)] == ["e1"]


def test_a_damaged_request_is_named_and_the_others_are_folded(
    lake: Lake, post: Post, dispatches: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    stop, opened = body_of(event(dispatches[0], "stop")), body_of(event(dispatches[1]))
    post("/events", stop, signed(stop))
    (key,) = lake.store.list("received")
    path = lake.store.local_path(key)
    path.chmod(0o644)
    sound = path.read_bytes()
    path.write_bytes(sound.replace(dispatches[0].encode(), dispatches[2].encode()))
    # What it says is not kept any more, so it is taken anew.
    assert post("/events", stop, signed(stop)) == (200, {"taken": 1, "repeated": False})
    post("/events", opened, signed(opened, "msg-2"))
    assert fold(lake, NOW) == {"receipts": 2, "suppressions": 1, "waiting": 0, "unknown": 0, "damaged": 1}
    assert f"{key} is damaged" in caplog.text
    path.write_bytes(sound)
    assert fold(lake, NOW) == {"receipts": 0, "suppressions": 0, "waiting": 0, "unknown": 0}


@pytest.mark.parametrize("days", [13, 60, 365])
def test_an_opt_out_is_honoured_whatever_its_message_s_age(
    days: int, bench: Any, lake: Lake, dispatches: list[str]
) -> None:
    later = NOW + timedelta(days=days)
    for name, kind in (("a", "unsubscribed"), ("b", "opened")):
        taken, _ = parse(body_of(event(dispatches[0], kind, name=name, at=later.isoformat())), later)
        Journal(lake.store).keep(taken, later)
    assert fold(lake, later)["suppressions"] == 1
    assert fold(lake, later)["suppressions"] == 0


def test_an_opt_out_of_a_sealed_hour_outlives_a_new_manifest(lake: Lake) -> None:
    """Its part was never finished, the night was emitted again, and `lake expire` has passed."""
    later, then = NOW + timedelta(days=8), Lake(lake.store, "main", clock=lambda: NOW)
    sample_plan.make(then, DS, 5, hours=(4, 5))
    commit = parts.seal(then, DS, "2026-11-15T04", "now")
    dispatch = lake.read(commit, ["dispatch_id", "user_id"]).to_pylist()[0]
    sample_plan.make(then, DS, 7, hours=(4, 5))
    expire(Lake(lake.store, "main", clock=lambda: later), 6)
    assert lake.as_of("dispatch_manifest", 1, ds=DS) == commit
    taken, _ = parse(body_of(event(dispatch["dispatch_id"], "stop", at=later.isoformat())), later)
    Journal(lake.store).keep(taken, later)
    assert fold(lake, later)["suppressions"] == 1
    assert fold(lake, later)["unreadable"] == 0


def test_an_unreadable_hour_holds_back_no_other(lake: Lake) -> None:
    sample_plan.make(lake, DS, 6, hours=(4, 5))
    for hour in ("2026-11-15T04", "2026-11-15T05"):
        commit = parts.seal(lake, DS, hour, "now")
    first, second = commit.files
    path = lake.store.local_path(first.path)
    path.chmod(0o644)
    path.write_bytes(b"")
    stops = [event(row["dispatch_id"], "stop") for row in lake.read_file(second, ["dispatch_id"]).to_pylist()]
    Journal(lake.store).keep(parse(body_of(*stops), NOW)[0], NOW)
    counts = fold(lake, NOW)
    assert (counts["suppressions"], counts["unreadable"]) == (3, 1)


def test_a_pending_opt_out_outlives_its_journal_day(
    bench: Any, lake: Lake, dispatches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, _ = parse(body_of(event(dispatches[0], "stop")), NOW)
    Journal(lake.store).keep(taken, NOW)
    with monkeypatch.context() as broken:
        broken.setattr(dispatches_of, "rows_by_id", lambda *_: (_ for _ in ()).throw(OSError("disk")))
        counts = fold(lake, NOW + timedelta(days=KEEP_DAYS + 1))
        assert counts["unreadable"] >= 1
        assert counts["suppressions"] == 0
    assert fold(lake, NOW + timedelta(days=KEEP_DAYS + 2))["suppressions"] == 1


def test_two_that_fold_at_once_lose_nothing(
    lake: Lake, dispatches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, commits = Journal(lake.store), []
    journal.keep(parse(body_of(event(dispatches[0])), NOW)[0], NOW)
    head = Lake.head

    def slow(self: Lake, name: str, **leaf: str) -> Any:
        head_seen = head(self, name, **leaf)
        if (
            name == "push_receipts" and not commits
        ):  # the other one reads, adds and commits between our reading and our commit
            commits.append(1)
            journal.keep(parse(body_of(event(dispatches[1], name="e2")), NOW)[0], NOW)
            fold(lake, NOW)
        return head_seen

    monkeypatch.setattr(Lake, "head", slow)
    fold(lake, NOW)
    assert sorted(row["user_id"] for row in receipts(lake)) == ["u00000000", "u00000001"]


def test_an_erased_person_is_in_no_object_of_ledger_or_journal(bench: Any, lake: Lake, post: Post) -> None:
    bench.plan(5, address=lambda n: f"ann{n}@mail.example")
    bench.deliver()
    rows = sorted(bench.ledger().values(), key=lambda row: row["user_id"])
    bounces = [
        event(
            row["dispatch_id"],
            "bounced",
            f"<{n}.ann{n}@mail.example>",
            reason=f"no mailbox ann{n}@mail.example",
        )
        for n, row in enumerate(rows)
    ]
    body = body_of(*bounces)
    assert post("/events", body, signed(body))[0] == 200
    assert fold(lake, NOW)["receipts"] == 5
    for folder in ("folded", "intents", "outcomes", "seals", "done"):
        assert list(lake.store.list(folder)), folder

    def traces(*texts: str) -> list[str]:
        objects = {key: lake.store.read(key) for key in lake.store.list("")}
        unpacked = {
            key: repr(pq.read_table(pa.BufferReader(data)).to_pydict()).encode()
            for key, data in objects.items()
            if data[:4] == b"PAR1"
        }
        unpacked |= {
            key: repr(outcomes.read(data).to_pydict()).encode()
            for key, data in objects.items()
            if key.startswith("outcomes/")
        }
        return [
            key
            for key, data in [*objects.items(), *unpacked.items()]
            if any(text.encode() in data or text in key for text in texts)
        ]

    assert traces("u00000003", "ann3@mail.example")
    assert {key.split("/")[1] for key in traces("ann3@mail.example")} == {"dispatch_manifest"}
    erase(lake, ["u00000003"])
    assert traces("u00000003", "ann3@mail.example") == []
    assert traces("u00000002")


def test_a_journal_that_nobody_looks_at_is_deleted(lake: Lake) -> None:
    journal = Journal(lake.store)
    journal.keep(parse(body_of(event("0" * 32)), NOW)[0], NOW)
    journal.folded(journal.keep(parse(body_of(event("1" * 32)), NOW)[0], NOW))
    for days, n in ((KEEP_DAYS, 2), (KEEP_DAYS + 1, 0)):
        fold(lake, NOW + timedelta(days=days))
        assert len([*lake.store.list("received"), *lake.store.list("folded")]) == n


@pytest.mark.parametrize("hours", [0, 1, 30])
def test_what_bears_its_arrivals_time_counts_once(hours: int, lake: Lake, dispatches: list[str]) -> None:
    """A provider repeats a callback that tells no time, after this server was started again."""
    journal = Journal(lake.store)
    for later in (0, hours):
        at = NOW + timedelta(hours=later)
        arrival = Event(
            "SM1:read", dispatches[0], "opened", int(at.timestamp() * 1e6), None, "sms", is_arrival=True
        )
        journal.keep([arrival], at)
        fold(lake, at)
    assert len(receipts(lake)) == 1


def test_one_foreign_dispatch_does_not_keep_its_group(lake: Lake, dispatches: list[str]) -> None:
    journal, at_us = Journal(lake.store), int(AT.timestamp() * 1e6)
    journal.keep(
        [Event(str(n), dispatch, "opened", at_us) for n, dispatch in enumerate([*dispatches, A])], NOW
    )
    assert fold(lake, NOW)["receipts"] == 5
    ((_, left),) = journal.pending()
    assert [event.dispatch_id for event in left] == [A]
    assert fold(lake, NOW) == {"receipts": 0, "suppressions": 0, "waiting": 0, "unknown": 1}
