"""What comes back is believed only with a signature, durable before it is answered, counted once, and placed
where the night looks for it.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from angelia.cli import main
from angelia.commands.receive import caller_secrets
from angelia.contracts import arrow, dataset
from angelia.delivery.channels.smtp import unsubscribe_token
from angelia.delivery.channels.webhook import sign
from angelia.delivery.ledger import outcomes
from angelia.delivery.manifest import parts, sample_plan
from angelia.errors import AngeliaError, InvalidInput
from angelia.lake import Lake
from angelia.lake.erasing.erase import erase
from angelia.lake.expire import expire
from angelia.receive import folding
from angelia.receive.folding import fold
from angelia.receive.journal import KEEP_DAYS, Journal, parse
from angelia.receive.server import Receiver
from angelia.users.suppressions import Guards

DS = "2026-11-14"
NOW = datetime(2026, 11, 15, 6, tzinfo=UTC)
SECRET, MAIL = b"s" * 32, b"m" * 32
Post = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def secret() -> Any:
    return SECRET


@pytest.fixture
def server(lake: Lake, secret: Any) -> Iterator[Receiver]:
    with Receiver(("127.0.0.1", 0), Journal(lake.store), secret, MAIL, lambda: NOW) as receiver:
        thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield receiver
        receiver.shutdown()
        thread.join()


@pytest.fixture
def post(server: Receiver) -> Post:
    def ask(
        path: str, body: bytes, headers: dict[str, str] | None = None, method: str = "POST"
    ) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        return answer.status, json.loads(said)

    return ask


def signed(body: bytes, name: str = "msg-1", secret: bytes = SECRET, at: datetime = NOW) -> dict[str, str]:
    stamp = str(int(at.timestamp()))
    return {
        "webhook-id": name,
        "webhook-timestamp": stamp,
        "webhook-signature": sign(secret, name, stamp, body),
    }


def event(dispatch: str, kind: str = "opened", name: str = "e1", **changes: Any) -> dict[str, Any]:
    return {
        "id": name,
        "dispatch_id": dispatch,
        "kind": kind,
        "at": (NOW - timedelta(hours=1)).isoformat(),
        **changes,
    }


def body_of(*events: dict[str, Any]) -> bytes:
    return json.dumps({"events": list(events)}).encode()


def receipts(lake: Lake) -> list[dict[str, Any]]:
    leaves = lake.partitions("push_receipts", ds=DS, source="receive")
    return [row for leaf in leaves for row in lake.read(lake.require("push_receipts", **leaf)).to_pylist()]


@pytest.fixture
def dispatches(bench: Any) -> list[str]:
    """Deliver five messages; return their dispatch ids by user."""
    bench.plan(5)
    bench.deliver()
    return [
        str(row["dispatch_id"]) for row in sorted(bench.ledger().values(), key=lambda row: row["user_id"])
    ]


def test_events_become_receipts_of_their_plan_day(lake: Lake, post: Post, dispatches: list[str]) -> None:
    body = body_of(
        event(dispatches[0]),
        event(dispatches[1], "delivered", "e2", reason="ok"),
        event(dispatches[2], "bounced", "e3"),
    )
    assert post("/events", body, signed(body)) == (200, {"taken": 3, "repeated": False})
    assert fold(lake, NOW) == {"receipts": 3, "suppressions": 0, "waiting": 0, "unknown": 0}
    found = receipts(lake)
    said = sorted((row["user_id"], row["kind"], row["reason"]) for row in found)
    assert said == [
        ("u00000000", "opened", None), ("u00000001", "delivered", "ok"), ("u00000002", "bounced", None),
    ]  # fmt: skip
    assert len({row["receipt_id"] for row in found}) == 3
    assert all(row["sent_ts"] is not None and row["receipt_ts"] == NOW - timedelta(hours=1) for row in found)
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


def test_a_request_that_is_repeated_after_midnight_is_known(lake: Lake) -> None:
    journal, events = Journal(lake.store), parse(body_of(event("0" * 32)), NOW)[0]
    assert journal.take("a", events, NOW)
    assert not journal.take("a", events, NOW + timedelta(days=1))
    assert journal.take("b", events, NOW + timedelta(days=1))


@pytest.mark.parametrize("kind", ["unsubscribed", "complaint", "stop"])
def test_an_opt_out_holds_for_the_person_on_that_channel(
    kind: str, bench: Any, lake: Lake, post: Post, dispatches: list[str]
) -> None:
    body = body_of(event(dispatches[3], kind))
    post("/events", body, signed(body))
    assert fold(lake, NOW)["suppressions"] == 1
    assert [row["kind"] for row in receipts(lake)] == ["unsubscribed"]
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


def test_one_click_unsubscribes_by_post_and_token_only(lake: Lake, post: Post, dispatches: list[str]) -> None:
    link = f"/unsubscribe?d={dispatches[0]}&t={unsubscribe_token(MAIL, dispatches[0])}"
    form = b"List-Unsubscribe=One-Click"
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert post(link, b"", method="GET")[0] == 405  # a mail scanner followed the link
    assert post(link, b"", kind)[0] == 400
    assert (
        post(f"/unsubscribe?d={dispatches[1]}&t={unsubscribe_token(MAIL, dispatches[0])}", form, kind)[0]
        == 401
    )
    assert post(f"/unsubscribe?d={dispatches[1]}", form, kind)[0] == 401
    assert fold(lake, NOW) == {}
    assert post(link, form, kind) == (200, {"taken": 1, "repeated": False})
    several = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'
    assert post(link, several, {"content-type": "multipart/form-data; boundary=x"}) == (
        200,
        {"taken": 1, "repeated": True},
    )
    assert fold(lake, NOW)["suppressions"] == 1
    assert [row["user_id"] for row in lake.read_log("suppressions").to_pylist()] == ["u00000000"]


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


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"secret": b"x" * 32}, 401),
        ({"at": NOW - timedelta(minutes=6)}, 401),
        ({"name": ""}, 401),
    ],
)
def test_without_a_young_signature_of_ours_nothing_is_taken(
    headers: dict[str, Any], status: int, lake: Lake, post: Post
) -> None:
    body = body_of(event("0" * 32))
    assert post("/events", body, signed(body, **headers) if headers else None)[0] == status
    assert list(lake.store.list("received")) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"dispatch_id": "x"}, {"dispatch_id": "A" * 32}, {"kind": "accepted"}, {"at": "2026-11-15T05:00:00"},
        {"at": "2026-11-01T05:00:00+00:00"},
        {"at": "2026-11-16T05:00:00+00:00"}, {"id": ""}, {"id": "a\nb"}, {"id": 7}, {"more": "x"},
        {"at": None},
    ],
)  # fmt: skip
def test_a_bad_item_refuses_itself_only_and_is_not_echoed(
    changes: dict[str, Any], lake: Lake, post: Post
) -> None:
    body = body_of(event("0" * 32, "complaint", name="good"), {**event("0" * 32), "id": "CANARY", **changes})
    status, said = post("/events", body, signed(body))
    assert (status, said["taken"], len(said["refused"])) == (200, 1, 1)
    assert "events[1]" in said["refused"][0]
    assert "CANARY" not in json.dumps(said)
    (left,) = Journal(lake.store).pending()
    assert [one.id for one in left[1]] == ["good"]
    alone = body_of({**event("0" * 32), "id": "CANARY", **changes})
    assert post("/events", alone, signed(alone, "msg-2"))[0] == 400


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("550 5.1.1 user unknown", "5.1.1"),
        ("smtp; 550-5.1.1 <" + "x" * 300 + "> no such user", "5.1.1"),
        ("x" * 65, "other"),
        ("é", "other"),
        ("mail from 10.5.1.1 refused", "other"),
    ],
)
def test_an_enhanced_code_is_found_within_a_text(reason: str, kept: str) -> None:
    (found,), refused = parse(body_of(event("0" * 32, "bounced", reason=reason)), NOW)
    assert (found.reason, refused) == (kept, [])


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
    told = [
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
    for n, events in enumerate(told):
        body = body_of(*events)
        assert post("/events", body, signed(body, f"msg-{n}"))[0] == 200
        assert fold(lake, NOW)["receipts"] == len(events)
    every = [one for events in told for one in events]
    body = body_of(*reversed(every))
    assert post("/events", body, signed(body, "msg-again"))[0] == 200
    assert fold(lake, NOW)["receipts"] == 0
    found = receipts(lake)
    assert len(found) == len({row["receipt_id"] for row in found}) == len(every)


@pytest.mark.parametrize("secret", [{"sms": b"a" * 32, "app": b"b" * 32}])
def test_callers_who_number_alike_are_told_apart(
    secret: dict[str, bytes], lake: Lake, server: Receiver, post: Post, dispatches: list[str]
) -> None:
    for caller, kind in (("sms", "stop"), ("app", "opened"), ("sms", "opened")):
        body = body_of(event(dispatches[0], kind, name="1"))
        answer = post("/events", body, signed(body, "1", secret[caller]))
        assert answer == (200, {"taken": 1, "repeated": False})
    assert fold(lake, NOW) == {"receipts": 3, "suppressions": 1, "waiting": 0, "unknown": 0}


def test_receipts_of_an_older_version_are_not_doubled(lake: Lake, dispatches: list[str]) -> None:
    events, _ = parse(body_of(event(dispatches[0])), NOW)
    Journal(lake.store).take("a", events, NOW)
    fold(lake, NOW)
    (leaf,) = lake.partitions("push_receipts", ds=DS, source="receive")
    old = lake.read(lake.require("push_receipts", **leaf))
    names = pa.array(["e1"], pa.string())
    with lake.attempt("push_receipts", **leaf) as attempt:
        columns = old.select(arrow.schema(dataset("push_receipts")).names)
        attempt.write(columns.set_column(0, columns.schema.field(0), names), "part-0000.parquet")
        attempt.publish()
    Journal(lake.store).take("b", events, NOW)
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
    assert post("/events", stop, signed(stop))[0] == 503  # not 200: what it says is not kept
    post("/events", opened, signed(opened, "msg-2"))
    assert fold(lake, NOW) == {"receipts": 1, "suppressions": 0, "waiting": 0, "unknown": 0, "damaged": 1}
    assert f"{key} is damaged" in caplog.text
    path.write_bytes(sound)
    assert fold(lake, NOW)["suppressions"] == 1


@pytest.mark.parametrize("days", [13, 60, 365])
def test_an_opt_out_is_honoured_whatever_its_message_s_age(
    days: int, bench: Any, lake: Lake, dispatches: list[str]
) -> None:
    later = NOW + timedelta(days=days)
    for name, kind in (("a", "unsubscribed"), ("b", "opened")):
        told, _ = parse(body_of(event(dispatches[0], kind, name=name, at=later.isoformat())), later)
        Journal(lake.store).take(name, told, later)
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
    told, _ = parse(body_of(event(dispatch["dispatch_id"], "stop", at=later.isoformat())), later)
    Journal(lake.store).take("a", told, later)
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
    Journal(lake.store).take("a", parse(body_of(*stops), NOW)[0], NOW)
    counts = fold(lake, NOW)
    assert (counts["suppressions"], counts["unreadable"]) == (3, 1)


def test_a_pending_opt_out_outlives_its_journal_day(
    bench: Any, lake: Lake, dispatches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told, _ = parse(body_of(event(dispatches[0], "stop")), NOW)
    Journal(lake.store).take("a", told, NOW)
    with monkeypatch.context() as broken:
        broken.setattr(folding, "_rows", lambda *_: (_ for _ in ()).throw(OSError("disk")))
        counts = fold(lake, NOW + timedelta(days=KEEP_DAYS + 1))
        assert counts["unreadable"] >= 1
        assert counts["suppressions"] == 0
    assert fold(lake, NOW + timedelta(days=KEEP_DAYS + 2))["suppressions"] == 1


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"events": []}', b'{"events": {}}', b"\xff", b"[" * 100_000]
)
def test_what_is_no_list_of_events(body: bytes, post: Post) -> None:
    assert post("/events", body, signed(body))[0] == 400
    with pytest.raises((ValueError, RecursionError)):
        parse(body, NOW)


def test_too_much_and_elsewhere(post: Post) -> None:
    many = body_of(*[event("0" * 32, name=f"e{n}") for n in range(1001)])
    assert post("/events", many, signed(many))[0] == 400
    assert post("/events", b"", {"content-length": str(1 << 21)})[0] == 413
    assert post("/elsewhere", b"")[0] == 404
    assert post("/health", b"", method="GET")[0] == 200


def test_what_cannot_be_stored_is_not_taken(lake: Lake, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(lake.store), "create", lambda *_: (_ for _ in ()).throw(AngeliaError("full")))
    body = body_of(event("0" * 32))
    assert post("/events", body, signed(body)) == (503, {"error": "not stored"})


def test_two_that_fold_at_once_lose_nothing(
    lake: Lake, dispatches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, commits = Journal(lake.store), []
    journal.take("a", parse(body_of(event(dispatches[0])), NOW)[0], NOW)
    head = Lake.head

    def slow(self: Lake, name: str, **leaf: str) -> Any:
        found = head(self, name, **leaf)
        if (
            name == "push_receipts" and not commits
        ):  # the other one reads, adds and commits between our reading and our commit
            commits.append(1)
            journal.take("b", parse(body_of(event(dispatches[1], name="e2")), NOW)[0], NOW)
            fold(lake, NOW)
        return found

    monkeypatch.setattr(Lake, "head", slow)
    fold(lake, NOW)
    assert sorted(row["user_id"] for row in receipts(lake)) == ["u00000000", "u00000001"]


def test_nobody_can_be_believed_without_a_secret(
    settings_home: Any, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["receive", "--port", "0"])
    assert stop.value.code == 2
    assert "ANGELIA_RECEIVE_CREDENTIALS" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("held", "secrets"),
    [
        ({"secret": "a"}, {"": b"a"}),
        ({"secrets": {"sms": "a", "app": "b"}}, {"sms": b"a", "app": b"b"}),
        ({"secret": "a", "secrets": {"sms": "b"}}, {"": b"a", "sms": b"b"}),
        ({"secrets": {"SMS": "a"}}, None), ({"secrets": ["a"]}, None), ({"secrets": {"sms": ""}}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_secrets_of_callers(held: Any, secrets: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "receive.json").write_text(json.dumps(held))
    monkeypatch.setenv("ANGELIA_RECEIVE_CREDENTIALS", str(tmp_path / "receive.json"))
    if secrets is None:
        with pytest.raises(InvalidInput, match="ANGELIA_RECEIVE_CREDENTIALS"):
            caller_secrets()
    else:
        assert caller_secrets() == secrets


def test_the_command_takes_folds_and_stops(
    bench: Any,
    lake: Lake,
    settings_home: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What was left in the journal by a run that died is folded by the next."""
    path = settings_home / "receive.json"
    path.write_text(json.dumps({"secret": SECRET.decode()}))
    monkeypatch.setenv("ANGELIA_RECEIVE_CREDENTIALS", str(path))
    bench.plan(1)
    bench.deliver()
    (dispatch,) = bench.ledger()
    Journal(lake.store).take("left", parse(body_of(event(dispatch)), NOW)[0], datetime.now(UTC))
    monkeypatch.setattr(folding, "_recent", lambda _: [DS])
    before = signal.getsignal(signal.SIGTERM)
    threading.Timer(0.5, signal.raise_signal, (signal.SIGTERM,)).start()
    with pytest.raises(SystemExit) as stop:
        main(["receive", "--port", "0", "--max-seconds", "60", "--json"])
    assert signal.getsignal(signal.SIGTERM) is before
    assert stop.value.code == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["receipts"] == 1
    assert [row["dispatch_id"] for row in receipts(lake)] == [dispatch]


def test_the_command_says_what_is_damaged(
    lake: Lake,
    settings_home: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = settings_home / "receive.json"
    path.write_text(json.dumps({"secret": SECRET.decode()}))
    monkeypatch.setenv("ANGELIA_RECEIVE_CREDENTIALS", str(path))
    Journal(lake.store).take("left", parse(body_of(event("0" * 32, "stop")), NOW)[0], datetime.now(UTC))
    (key,) = lake.store.list("received")
    lake.store.local_path(key).chmod(0o644)
    lake.store.local_path(key).write_bytes(b"\xff")
    with pytest.raises(SystemExit) as stop:
        main(["receive", "--port", "0", "--max-seconds", "0.1", "--json"])
    assert stop.value.code == 3
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["damaged"] == 1
    assert f"{key} is damaged" in caplog.text


def test_of_free_words_and_mailboxes_nothing_is_kept(lake: Lake) -> None:
    told = [
        ("hard", "hard"),
        ("5.1.1", "5.1.1"),
        ("SMTP_550_5.1.1", "SMTP_550_5.1.1"),
        (None, None),
        ("ann@mail.example", "other"),
        ("+49170123456", "other"),
    ]
    body = body_of(
        *[
            event("0" * 32, "bounced", f"e{n}", **({"reason": reason} if reason else {}))
            for n, (reason, _) in enumerate(told)
        ]
    )
    assert [found.reason for found in parse(body, NOW)[0]] == [kept for _, kept in told]
    first, again, other = (
        parse(body_of(event("0" * 32, name=name)), NOW)[0][0].id
        for name in ("<1.ann@mail.example>", "<1.ann@mail.example>", "<2.ann@mail>")
    )
    assert first == again != other
    assert "ann" not in first


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
    for folder in ("received", "intents", "outcomes", "seals", "done"):
        assert list(lake.store.list(folder)), folder

    def traces(*texts: str) -> list[str]:
        found = {key: lake.store.read(key) for key in lake.store.list("")}
        unpacked = {
            key: repr(pq.read_table(pa.BufferReader(data)).to_pydict()).encode()
            for key, data in found.items()
            if data[:4] == b"PAR1"
        }
        unpacked |= {
            key: repr(outcomes.read(data).to_pydict()).encode()
            for key, data in found.items()
            if key.startswith("outcomes/")
        }
        return [
            key
            for key, data in [*found.items(), *unpacked.items()]
            if any(text.encode() in data or text in key for text in texts)
        ]

    assert traces("u00000003", "ann3@mail.example")
    assert {key.split("/")[1] for key in traces("ann3@mail.example")} == {"dispatch_manifest"}
    erase(lake, ["u00000003"])
    assert traces("u00000003", "ann3@mail.example") == []
    assert traces("u00000002")


def test_a_journal_that_nobody_looks_at_is_deleted(lake: Lake) -> None:
    journal = Journal(lake.store)
    journal.take("a", parse(body_of(event("0" * 32)), NOW)[0], NOW)
    journal.folded(f"{NOW.date()}/x")
    for days, n in ((KEEP_DAYS, 2), (KEEP_DAYS + 1, 0)):
        fold(lake, NOW + timedelta(days=days))
        assert len([*lake.store.list("received"), *lake.store.list("folded")]) == n
