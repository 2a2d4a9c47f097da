"""A campaign's speed limit or a silent receiver holds up its own rows only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from angelia.catalog.documents import parse_document
from angelia.contracts import arrow, dataset
from angelia.delivery.channels.base import Provider
from angelia.delivery.channels.webhook import WebhookAdapter, host_of
from angelia.delivery.clock import SimulatedClock
from angelia.delivery.manifest import sample_plan
from angelia.delivery.sending.holds import Receivers, SpeedLimits
from angelia.delivery.worker import worker_metrics as metrics
from angelia.delivery.worker.options import Options
from angelia.delivery.worker.run import Delivery
from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.metrics import render
from angelia.transport.wire import UNKNOWN, Answer, Request
from tests.unit.delivery.given import DS, HOUR, OK, START


def plan(
    lake: Lake,
    campaigns: list[tuple[str, int]],
    limits: dict[str, int],
    hours: float = 2.0,
    channel: str = "fcm",
    **more: Any,
) -> None:
    """Write one part whose rows belong to (campaign, rows), in turns."""
    documents = sample_plan.documents(channels=(channel,))
    documents += [
        {
            "kind": "campaign",
            "id": name,
            "version": 1,
            "body": json.dumps({"id": name, "speed_limit_per_minute": limits.get(name)}),
        }
        for name, _ in campaigns
    ]
    with lake.attempt("catalog_snapshot", ds=DS) as attempt:
        attempt.write(
            pa.Table.from_pylist(documents, schema=arrow.schema(dataset("catalog_snapshot"))),
            "part-0000.parquet",
        )
        snapshot = attempt.publish()
    names = [name for name, rows in campaigns for _ in range(rows)]
    table = sample_plan.rows(
        0,
        len(names),
        START,
        campaign_id=lambda n: names[n],
        not_after=START + timedelta(hours=hours),
        channel=channel,
        **more,
    )
    keys = {"send_hour": HOUR, "channel": channel, "priority": "medium"}
    with lake.attempt("dispatch_manifest", ds=DS) as attempt:
        attempt.write(table, "part-0000.parquet", keys=keys)
        attempt.publish(inputs=[snapshot])


class Times:
    """When each campaign's requests began."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench
        self.campaign = {
            row["address"]: row["campaign_id"]
            for row in bench.lake.read(bench.lake.require("dispatch_manifest", ds=DS)).to_pylist()
        }
        self.at: dict[str, list[float]] = {}

    def __call__(self, nth: int, message: dict[str, Any]) -> Answer:
        second = self.bench.clock.now() / 1e6 - START.timestamp()
        self.at.setdefault(self.campaign[message["token"]], []).append(second)
        return OK


def most_in_a_minute(times: list[float]) -> int:
    return max(sum(first <= at < first + 60 for at in times) for first in times)


def test_no_campaign_waits_for_a_slow_one(bench: Any) -> None:
    plan(bench.lake, [("slow", 300), ("quick", 700), ("brisk", 200)], {"slow": 30, "brisk": 600})
    times = Times(bench)
    result = bench.deliver(times)
    assert result.delivered == {"accepted": 1200}
    assert max(times.at["quick"]) < 30
    assert max(times.at["brisk"]) < 60
    assert most_in_a_minute(times.at["slow"]) <= 30
    assert most_in_a_minute(times.at["brisk"]) <= 600
    assert 300 / 30 * 60 - 60 <= max(times.at["slow"]) <= 300 / 30 * 60 * 1.2  # as fast as it may
    assert {(part.kind, part.campaign) for part in bench.parts()} >= {("plan", None), ("paced", "slow")}


def test_the_limit_is_divided_by_the_slots(bench: Any) -> None:
    plan(bench.lake, [("slow", 40)], {"slow": 60})
    times = Times(bench)
    assert bench.deliver(times, slots=4).delivered == {"accepted": 40}
    assert most_in_a_minute(times.at["slow"]) <= 15


def test_the_quota_is_divided_by_the_slots(bench: Any) -> None:
    sample_plan.make(bench.lake, DS, 400, quota_per_minute=600)
    times = Times(bench)
    assert bench.deliver(times, slots=4).delivered == {"accepted": 400}
    assert most_in_a_minute(times.at["price_drop"]) <= 150


def test_what_the_window_leaves_no_time_for_is_accounted_for(bench: Any) -> None:
    plan(bench.lake, [("slow", 300)], {"slow": 30}, hours=0.1)
    result = bench.deliver(Times(bench))
    assert result.delivered["accepted"] + result.delivered["skipped"] + result.delivered["deferred"] == 300
    assert 150 <= result.delivered["accepted"] <= 180


def test_the_next_run_goes_on_with_a_slow_campaign(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the wall clock, a run leaves paced parts after a while; that is no failure."""
    from angelia.delivery.channels.fcm import FcmAdapter

    monkeypatch.setattr(
        "angelia.delivery.worker.run.open_provider",
        lambda _: Provider(FcmAdapter("p"), "https://sandbox.test", None),
    )
    plan(lake, [("slow", 40)], {"slow": 60}, hours=24 * 365 * 70)

    class Wire:
        def submit(
            self, request: Request, authorization: bytes, done: Callable[[Any, Answer], None], tag: Any
        ) -> None:
            asyncio.get_running_loop().call_soon(done, tag, OK)

        async def close(self) -> None:
            pass

    def deliver() -> Any:
        return asyncio.run(
            Delivery(
                lake, Options(DS, (HOUR,), batch_deadline_s=0.4, paced_s=0.2), transport=lambda *_: Wire()
            ).run()
        )

    first = deliver()
    assert (first.unfinished, first.waiting) == (0, 1)
    assert 1 <= first.delivered["accepted"] <= 3
    again = deliver()
    assert (again.unfinished, again.waiting) == (0, 1)
    assert again.delivered["accepted"] >= 1
    (leaf,) = lake.partitions("delivery_ledger", ds=DS)
    assert lake.require("delivery_ledger", **leaf).rows == 40


def test_a_limit_is_one_gate_for_all_channels_of_a_campaign() -> None:
    paces = SpeedLimits(1, lambda: 0)
    gate, other = paces.of({"slow": 60})["slow"], paces.of({"slow": 60})["slow"]
    assert gate is other
    assert paces.of({"slow": 30})["slow"] is not gate
    assert gate.wait(0) == 0.0
    gate.enter(0)
    assert 0.9 < other.wait(0) < 1.1


@pytest.mark.parametrize("value", [0, -1, 1.5, "60"])
def test_a_limit_is_a_whole_number_of_messages(value: object) -> None:
    campaign = {
        "kind": "campaign", "id": "c", "name": "C", "topic": "promo", "owner": "growth", "audience": "a",
        "materials": ["m"], "channels": ["fcm"],
        "value_per_open": 0.1, "occurrence": {"every": "once"}, "start_date": "2026-11-01",
        "end_date": "2026-11-30",
    }  # fmt: skip
    assert parse_document(campaign).speed_limit_per_minute is None
    assert parse_document({**campaign, "speed_limit_per_minute": 600}).speed_limit_per_minute == 600
    with pytest.raises(InvalidInput, match="speed_limit_per_minute"):
        parse_document({**campaign, "speed_limit_per_minute": value})


def test_simulated_sleepers_wake_in_order() -> None:
    woken: list[tuple[str, int]] = []

    async def sleeper(clock: SimulatedClock, name: str, seconds: float, times: int) -> None:
        for _ in range(times):
            await clock.sleep(seconds)
            woken.append((name, clock.now() // 1_000_000))

    async def main() -> None:
        clock = SimulatedClock(0)
        async with asyncio.TaskGroup() as group:
            group.create_task(sleeper(clock, "long", 3, 2))
            group.create_task(sleeper(clock, "short", 1, 5))

    asyncio.run(main())
    assert woken == [
        ("short", 1),
        ("short", 2),
        ("long", 3),
        ("short", 3),
        ("short", 4),
        ("short", 5),
        ("long", 6),
    ]


# ---- receivers


class Hosts:
    """Receivers of webhooks: those named `dead…` never answer, the others do at once."""

    def __init__(self, delay_s: float = 0.02) -> None:
        self.tried: list[str] = []
        self.delay_s = delay_s
        self.alive = ""

    def submit(
        self, request: Request, authorization: bytes, done: Callable[[Any, Answer], None], tag: Any
    ) -> None:
        host = host_of(request.path.decode())
        self.tried.append(host)
        is_dead = host.startswith("dead") and host != self.alive
        loop = asyncio.get_running_loop()
        if is_dead:
            loop.call_later(self.delay_s, done, tag, Answer(0, failure=UNKNOWN))
        else:
            loop.call_soon(done, tag, Answer(204))

    async def close(self) -> None:
        pass


def deliver(lake: Lake, monkeypatch: pytest.MonkeyPatch, wire: Hosts, **options: Any) -> tuple[Any, Delivery]:
    provider = Provider(WebhookAdapter(b"x" * 32), "", None, concurrency=20, receiver_of=host_of)
    monkeypatch.setattr("angelia.delivery.worker.run.open_provider", lambda _: provider)
    delivery = Delivery(
        lake, Options(DS, (HOUR,), simulated=True, batch_rows=100, **options), transport=lambda *_: wire
    )
    return asyncio.run(delivery.run()), delivery


def test_a_silent_receiver_opens_no_breaker_for_others(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = ("dead.example", "one.example", "two.example")
    plan(lake, [("c", 600)], {}, channel="webhook", address=lambda n: f"https://{hosts[n % 3]}/{n}")
    wire = Hosts()
    result, delivery = deliver(lake, monkeypatch, wire)
    sender = delivery.senders.by_channel["webhook"]
    assert result.delivered["accepted"] == 400
    assert result.delivered["ambiguous"] + result.delivered["deferred"] == 200
    assert not sender.breaker.is_open
    assert sender.receivers is not None
    assert (sender.receivers.n_down, sender.receivers.n_opened) == (1, 1)
    assert wire.tried.count("dead.example:443") < 40  # not two hundred
    text = render(metrics.families(delivery.senders.by_channel, DS))
    assert 'receivers_down{ds="2026-11-14",channel="webhook"} 1' in text
    assert "example" not in text


def test_an_answer_from_before_a_switch_frees_no_place() -> None:
    """The channel was opened anew, with another quota, while the request was under way."""
    receivers = Receivers(host_of, 4)
    receivers.of("https://one.example/1").left()
    assert receivers.of("https://one.example/1").in_flight == 0
    receivers.answered("https://one.example/1")
    assert receivers.find("https://one.example/1") is None


def test_a_receiver_has_a_share_of_the_requests_under_way(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first requests hang until they time out; the others have the rest of the channel."""
    plan(
        lake,
        [("c", 60)],
        {},
        channel="webhook",
        address=lambda n: f"https://{'dead' if n < 40 else 'live'}.example/{n}",
    )
    wire = Hosts(delay_s=0.5)
    result, _ = deliver(lake, monkeypatch, wire)
    assert result.delivered["accepted"] == 20
    last = max(i for i, host in enumerate(wire.tried) if host.startswith("live"))
    assert wire.tried[:last].count("dead.example:443") <= 5


def test_a_receiver_that_is_back_gets_the_rest(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    plan(
        lake,
        [("c", 60)],
        {},
        channel="webhook",
        address=lambda n: f"https://dead.example/{n}",
        guarantee="at_least_once",
        hours=24 * 365,
    )
    wire = Hosts()
    original = wire.submit

    def submit(*args: Any) -> None:
        original(*args)
        if len(wire.tried) == 7:
            wire.alive = "dead.example:443"

    monkeypatch.setattr(wire, "submit", submit)
    result, delivery = deliver(lake, monkeypatch, wire)
    assert result.delivered == {"accepted": 60}
    receivers = delivery.senders.by_channel["webhook"].receivers
    assert receivers is not None
    assert (receivers.n_down, receivers._known) == (0, {})


def test_receivers_without_trouble_are_forgotten() -> None:
    receivers = Receivers(host_of, 64)
    for number in range(1000):
        address = f"https://host{number}.example/x"
        assert receivers.find(address) is None
        receivers.of(address).enter(0)
        receivers.of(address).left()
        receivers.answered(address)
    assert receivers._known == {}


def test_one_receiver_is_one_however_its_name_is_written() -> None:
    assert (
        len(
            {
                host_of(text)
                for text in ("https://A.example/x", "https://a.example./y", "https://a.example:443/z")
            }
        )
        == 1
    )
    assert host_of("https://a.example:8443/") != host_of("https://a.example/")


def test_a_probe_that_is_throttled_lets_another_probe(bench: Any, fcm_error: Callable[..., Answer]) -> None:
    bench.plan(60, not_after=datetime(2100, 1, 1, tzinfo=UTC))
    seen: list[int] = []

    def script(nth: int, message: dict[str, Any]) -> Answer:
        seen.append(nth)
        return (
            fcm_error(503, "UNAVAILABLE")
            if len(seen) < 60
            else fcm_error(429, "QUOTA_EXCEEDED")
            if len(seen) < 63
            else OK
        )

    assert bench.deliver(script).delivered == {"accepted": 60}
