"""A whole delivery through the sandbox, by FCM, APNs, e-mail and webhook.

Each message arrives once, and what goes wrong is accounted for.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from angelia.delivery import channels
from angelia.delivery.channels import apns
from angelia.delivery.channels.base import ChannelConfig, Provider
from angelia.delivery.channels.fcm import FcmAdapter
from angelia.delivery.manifest import sample_plan
from angelia.delivery.worker.options import Options, RunResult
from angelia.delivery.worker.run import Delivery
from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.sandbox.phones import Phones
from angelia.sandbox.server import serve
from tests.unit.delivery.given import DS, HOUR

ARNS = ("GCM", "APNS")


ADDRESSES = {
    "fcm": lambda n: f"r{n:03d}-token",
    "apns": lambda n: f"{n:064x}",
    "email": lambda n: f"ann.{n}@people.example",
    "email_ses": lambda n: f"r{n:03d}@people.example",
    "sms": lambda n: f"+49151{n:07d}",
    "email_mandrill": lambda n: f"r{n:03d}@people.example",
    "sns_push": lambda n: f"arn:aws:sns:eu-west-1:123456789012:endpoint/{ARNS[n % 2]}/app/r{n:03d}-1",
    "sns_sms": lambda n: f"+49151{n:07d}",
    "huawei": lambda n: f"r{n:03d}-token",
    "xiaomi": lambda n: f"r{n:03d}-regid",
    "oppo": lambda n: f"r{n:03d}_regid",
    "vivo": lambda n: f"r{n:03d}-0000000000000000000"[:23],
    "honor": lambda n: f"r{n:03d}-token",
    "meizu": lambda n: f"r{n:03d}-pushid",
    "wechat_subscribe": lambda n: f"r{n:03d}-openid",
    "wechat_template": lambda n: f"r{n:03d}-openid",
    "qq_bot": lambda n: f"r{n:03d}-openid",
    "wecom": lambda n: f"r{n:03d}.member",
    "dingtalk": lambda n: f"r{n:03d}-employee",
}


def run(
    lake: Lake,
    folder: Path,
    channel: str,
    monkeypatch: pytest.MonkeyPatch,
    rules: str = "",
    prepare: Callable[[dict[str, Any]], None] = lambda _: None,
    **changes: Any,
) -> tuple[RunResult, Phones]:
    """Deliver 200 rows of a channel to a sandbox here.

    `prepare` may change its account, `changes` its rows.
    """
    path = None
    if rules:
        path = folder / "rules.yaml"
        path.write_text(rules)

    async def main() -> tuple[RunResult, Phones]:
        ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        server = asyncio.create_task(serve(folder, rules=path, announce=ready.set_result, max_seconds=60))
        names = await ready
        prepare(names)
        monkeypatch.setenv("ANGELIA_CA_FILE", names["ca_file"])
        account = names["credentials" if channel == "fcm" else f"{channel}_credentials"]
        monkeypatch.setenv(f"ANGELIA_{channel.upper()}_CREDENTIALS", account)
        if channel not in ("webhook", "webpush"):
            monkeypatch.setenv(
                f"ANGELIA_{channel.upper()}_URL", names["smtp_url" if channel == "email" else "url"]
            )
        address = ADDRESSES.get(channel, lambda n: f"{names['url']}/hook/r{n:03d}")
        if channel == "webpush":
            given = (folder / "webpush-subscription.json").read_text("utf-8")
            subscription = json.dumps(json.loads(given))
            address = lambda n: subscription.replace("NAME", f"r{n:03d}")  # noqa: E731
        sample_plan.make(lake, DS, 200, changes={"channel": channel, "address": address, **changes})
        result = await Delivery(lake, Options(DS, (HOUR,), simulated=True, request_timeout_s=20.0)).run()
        os.kill(os.getpid(), signal.SIGINT)  # SIGTERM was the worker's
        return result, await server

    return asyncio.run(main())


def reasons(lake: Lake) -> dict[str, int]:
    """Count the ledger's reasons."""
    counts: dict[str, int] = {}
    for leaf in lake.partitions("delivery_ledger", ds=DS):
        for reason in lake.read(lake.require("delivery_ledger", **leaf))["reason"].to_pylist():
            counts[reason] = counts.get(reason, 0) + 1
    return counts


@pytest.mark.parametrize("channel", ["fcm", "apns", "email", "webhook"])
def test_every_channel_delivers_each_message_once(
    channel: str, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, phones = run(lake, tmp_path, channel, monkeypatch)
    assert result.delivered == {"accepted": 200}
    manifest = lake.read(lake.require("dispatch_manifest", ds=DS), ["dispatch_id"])["dispatch_id"].to_pylist()
    assert phones.received == dict.fromkeys(
        manifest, 1
    )  # the dispatch id travels in the provider's own field
    assert phones.doubled == 0
    assert any("Preissturz" in title or "Price drop" in title for _, _, title, _ in phones.recent)


FAULTS = {
    "fcm": (
        """
rules:
  - {match: {token_prefix: r003}, then: {status: 404, error: UNREGISTERED}}
  - {match: {token_prefix: r004}, then: {status: 400, error: INVALID_ARGUMENT}}
  - {match: {token_prefix: r005, max: 2}, then: {status: 429, error: QUOTA_EXCEEDED, retry_after: "1"}}
  - {match: {token_prefix: r006, max: 2}, then: {status: 503, error: UNAVAILABLE}}
  - {match: {token_prefix: r007, max: 1}, then: {refuse: true}}
  - {match: {token_prefix: r009, max: 2}, then: {status: 401, error: UNAUTHENTICATED}}
""",
        {"accepted": 198, "rejected": 2},
        {None: 198, "gone:UNREGISTERED": 1, "INVALID_ARGUMENT.token": 1},
    ),
    "apns": (
        f"""
rules:
  - {{match: {{token_prefix: "{3:064x}"}}, then: {{status: 410, error: Unregistered, gone_s: 3600}}}}
  - {{match: {{token_prefix: "{4:064x}"}}, then: {{status: 400, error: BadDeviceToken}}}}
  - {{match: {{token_prefix: "{5:064x}", max: 2}}, then: {{status: 503, error: ServiceUnavailable}}}}
  - {{match: {{token_prefix: "{6:064x}", max: 1}}, then: {{refuse: true}}}}
  - {{match: {{token_prefix: "{8:064x}", max: 2}}, then: {{status: 429, error: TooManyRequests}}}}
  - {{match: {{token_prefix: "{9:064x}", max: 1}}, then: {{status: 403, error: ExpiredProviderToken}}}}
""",
        {"accepted": 198, "rejected": 2},
        {None: 198, "gone:Unregistered": 1, "BadDeviceToken": 1},
    ),
    "email": (
        """
rules:
  - {match: {token_prefix: ann.3@}, then: {status: 550, error: 5.1.1 no such user}}
  - {match: {token_prefix: ann.4@}, then: {status: 552, error: 5.3.4 too large, drip: true}}
  - {match: {token_prefix: ann.5@, max: 2}, then: {status: 450, error: 4.2.0 greylisted}}
  - {match: {token_prefix: ann.6@, max: 1}, then: {reset: before}}
  - {match: {token_prefix: ann.7@}, then: {reset: after}}
""",
        {"accepted": 197, "rejected": 2, "ambiguous": 1},
        {None: 197, "gone:SMTP_550_5.1.1": 1, "SMTP_552_5.3.4": 1, "no_answer": 1},
    ),
    "webhook": (
        """
rules:
  - {match: {token_prefix: r003}, then: {status: 410}}
  - {match: {token_prefix: r004}, then: {status: 302, location: "http://169.254.169.254/latest/meta-data/"}}
  - {match: {token_prefix: r005, max: 2}, then: {status: 429, retry_after: "1"}}
  - {match: {token_prefix: r007}, then: {reset: after}}
""",
        {"accepted": 197, "rejected": 2, "ambiguous": 1},
        {None: 197, "gone:HTTP_410": 1, "redirect": 1, "no_answer": 1},
    ),
}


@pytest.mark.parametrize("channel", sorted(FAULTS))
def test_what_goes_wrong_is_accounted_for(
    channel: str, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules, outcomes, expected = FAULTS[channel]
    # APNs calls no token expired that is younger than twenty minutes; here it ages at once.
    monkeypatch.setattr(apns, "TOKEN_MIN_S", 0)
    result, phones = run(lake, tmp_path, channel, monkeypatch, rules)
    assert result.delivered == outcomes
    assert reasons(lake) == expected
    assert phones.doubled == 0
    gone = lake.read_log("suppressions").to_pylist()
    assert [(entry["user_id"], entry["channel"], entry["reason"]) for entry in gone] == [
        ("u00000003", channel, "gone")
    ]


def test_a_package_outside_adds_a_provider_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Provider(FcmAdapter("outside"), "https://outside.example", None)
    asked: list[dict[str, str]] = []

    def entry_points(**chosen: str) -> list[Any]:
        asked.append(chosen)
        return [SimpleNamespace(load=lambda: lambda config: given)] if chosen["name"] == "outside" else []

    monkeypatch.setattr(channels, "entry_points", entry_points)
    assert channels.open_provider(ChannelConfig("webpush", "outside", 60.0)) is given
    assert asked == [{"group": "angelia.channels", "name": "outside"}]
    with pytest.raises(InvalidInput, match="no provider is called 'nobody'"):
        channels.open_provider(ChannelConfig("webpush", "nobody", 60.0))
