"""A channel switched off, or to another provider: a running worker obeys."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.delivery.channels.base import ChannelConfig, Message, Provider
from angelia.delivery.channels.fcm import FcmAdapter
from angelia.delivery.worker.channel_changes import ChannelChanges, ChannelDocument
from angelia.lake import Lake
from angelia.transport.wire import Answer, Request
from tests.unit.delivery.conftest import FakeWire, error
from tests.unit.delivery.given import OK, number_of

FCM = {"id": "fcm", "provider": "fcm_v1", "enabled": True, "quota_per_minute": 600_000}
PLANNED = ChannelDocument(1, FCM)


def change(lake: Lake, version: int, body: dict[str, Any] | None, channel: str = "fcm") -> None:
    """Let an apply tell of a channel's new document."""
    entry = {
        "entry_id": f"{channel}{version}",
        "channel": channel,
        "version": version,
        "body": None if body is None else json.dumps(body),
        "at_ts": datetime(2026, 11, 15, 4, tzinfo=UTC),
    }
    table = pa.Table.from_pylist([entry], schema=arrow.schema(dataset("channel_changes")))
    lake.append_log("channel_changes", table)


@pytest.fixture
def lease(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the real time of a run, which a test moves."""
    lease = [1_000_000_000]
    for module in ("run", "senders"):
        monkeypatch.setattr(f"angelia.delivery.worker.{module}.lease_now", lambda: lease[0])
    return lease


def in_mid_run(bench: Any, lease: list[int], act: Any, at: int = 150) -> Any:
    """Return a script that lets something happen at a request, eleven seconds later."""

    def script(nth: int, message: dict[str, Any]) -> Answer:
        if len(bench.wire.requests) == at:
            act()
            lease[0] += 11_000_000
        return OK

    return script


def test_switched_off_nothing_more_leaves(bench: Any, lease: list[int]) -> None:
    bench.plan(1000)
    off = FCM | {"enabled": False}
    result = bench.deliver(in_mid_run(bench, lease, lambda: change(bench.lake, 2, off)))
    assert 150 <= result.delivered["accepted"] < 600
    assert "switched off in the catalog" in result.halted["fcm"]
    again = bench.deliver()
    assert (len(bench.wire.requests), again.unfinished) == (0, 1)
    assert "was switched off in the catalog" in again.halted["fcm"]
    change(bench.lake, 3, FCM)
    bench.deliver()
    assert {row["outcome"] for row in bench.ledger().values()} == {"accepted"}
    assert len(bench.ledger()) == 1000


def test_the_next_batch_goes_by_the_other_provider(
    bench: Any, lease: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def provider(config: ChannelConfig) -> Provider:
        opened.append(config.provider)
        return Provider(FcmAdapter(config.provider), "https://sandbox.test", None, concurrency=50)

    monkeypatch.setattr("angelia.delivery.worker.run.open_provider", provider)
    paths: list[bytes] = []
    original = FakeWire.submit

    def noting(self: FakeWire, request: Any, *given: Any) -> None:
        paths.append(request.path)
        original(self, request, *given)

    monkeypatch.setattr(FakeWire, "submit", noting)
    bench.plan(1000)
    other = FCM | {"provider": "fcm_other"}
    result = bench.deliver(in_mid_run(bench, lease, lambda: change(bench.lake, 2, other)))
    assert result.delivered == {"accepted": 1000}
    assert opened == ["fcm_v1", "fcm_other"]
    assert [b"fcm_other" in path for path in paths] == sorted(b"fcm_other" in path for path in paths)
    assert 150 <= sum(b"fcm_v1" in path for path in paths) < 600


class Spacious(FcmAdapter):
    """Another provider, which wants other bytes."""

    def build_request(self, message: Message) -> Request:
        request = super().build_request(message)
        return Request(request.path, request.headers, request.body + b" ")


def test_a_deferred_row_may_leave_by_the_other_provider(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes differ from those of its first try, which was refused for certain."""

    def provider(config: ChannelConfig) -> Provider:
        adapter = Spacious("p") if config.provider == "fcm_other" else FcmAdapter("p")
        return Provider(adapter, "https://sandbox.test", None)

    monkeypatch.setattr("angelia.delivery.worker.run.open_provider", provider)
    bench.plan(3)
    busy = error(503, "UNAVAILABLE")
    bench.deliver(lambda _, message: busy if number_of(message) == 1 else OK)
    assert sorted(row["outcome"] for row in bench.ledger().values()) == ["accepted", "accepted", "deferred"]
    change(bench.lake, 2, FCM | {"provider": "fcm_other"})
    assert bench.deliver().delivered["accepted"] == 1


def test_another_number_a_request_is_no_other_payload(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account's file was edited while rows waited: the same message, in other bytes."""

    def edited(adapter: FcmAdapter, other: FcmAdapter | None) -> None:
        provider = Provider(adapter, "https://sandbox.test", None, other_form=other)
        monkeypatch.setattr("angelia.delivery.worker.run.open_provider", lambda _: provider)

    single, listed = FcmAdapter("p"), Spacious("p")
    bench.plan(3)
    for adapter, other in ((single, listed), (listed, single)):
        edited(adapter, other)
        bench.deliver(lambda *_: error(503, "UNAVAILABLE"))
        assert {row["outcome"] for row in bench.ledger().values()} == {"deferred"}
    edited(Spacious("p"), None)
    bench.deliver()
    assert {row["reason"] for row in bench.ledger().values()} == {"payload_changed"}


def test_the_newest_version_holds_if_it_is_newer(lake: Lake) -> None:
    now = [0]
    changes = ChannelChanges(lake, lambda: now[0])
    changes.read()
    assert changes.after("fcm", PLANNED) is PLANNED
    change(lake, 1, FCM | {"enabled": False})
    changes.read()
    assert changes.after("fcm", PLANNED) is PLANNED, "the plan was made with this version"
    change(lake, 2, None)
    changes.read()
    assert changes.after("fcm", PLANNED) == (2, {"enabled": False})
    assert changes.after("sms", PLANNED) is PLANNED


def test_a_log_that_cannot_be_read_changes_nothing(lake: Lake) -> None:
    change(lake, 2, FCM | {"enabled": False})
    (entry,) = lake.require("channel_changes", log="0").files
    lake.store.put(entry.path, b"damaged")
    changes = ChannelChanges(Lake(lake.store), lambda: 0)
    changes.read()
    assert changes.after("fcm", PLANNED) is PLANNED
