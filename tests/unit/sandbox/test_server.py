"""The sandbox over real sockets: it refuses what FCM refuses, counts what phones received.

It breaks as scripted.
"""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import jwt
import pytest
from pyreqwest.client import ClientBuilder

from angelia.delivery.channels.base import ChannelConfig, Message
from angelia.delivery.channels.fcm import open_provider
from angelia.transport.client import Http2Client
from angelia.transport.wire import Answer
from tests.unit.sandbox.serving import around, message, send


@pytest.mark.parametrize("clear", [False, True])
def test_authenticated_messages_arrive_once_each(tmp_path: Path, clear: bool) -> None:
    results, phones = around(
        tmp_path, lambda names: send(names, [message(n) for n in range(300)], clear=clear)
    )
    assert {verdict.kind for _, verdict in results} == {"accepted"}
    assert len({verdict.provider_id for _, verdict in results}) == 300
    assert phones.stats() == {
        "requests": 300, "outcomes": {"accepted": 300, "token_granted": 1}, "received": 300, "unique": 300,
        "doubled": 0, "without_dispatch_id": 0,
        "connections": 2, "most_under_way": 0,
    }  # fmt: skip
    assert json.loads((tmp_path / "stats.json").read_text())["unique"] == 300
    assert len(json.loads((tmp_path / "received.json").read_text())) == 300


def test_what_fcm_refuses_is_refused_with_its_shapes(tmp_path: Path) -> None:
    async def use(names: dict[str, Any]) -> list[tuple[int, Any]]:
        account = json.loads(Path(names["credentials"]).read_text())
        claims = {
            "iss": account["client_email"],
            "aud": account["token_uri"],
            "iat": 1,
            "exp": 2**31,
            "scope": "https://www.googleapis.com/auth/drive.readonly",
        }
        wrong_scope = jwt.encode(claims, account["private_key"], algorithm="RS256")
        statuses = []
        client = (
            ClientBuilder()
            .add_root_certificate_pem(Path(names["ca_file"]).read_bytes())
            .timeout(timedelta(seconds=10))
            .build()
        )
        async with client:
            grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
            for assertion in (wrong_scope, "x.y.z"):
                response = (
                    await client.post(f"{names['url']}/token")
                    .form([("grant_type", grant), ("assertion", assertion)])
                    .build()
                    .send()
                )
                statuses.append((response.status, (await response.json())["error"]))
            send_url = f"{names['url']}/v1/projects/angelia-sandbox/messages:send"
            response = await client.post(send_url).body_text("{}").build().send()
            statuses.append((response.status, (await response.json())["error"]["status"]))
            response = await client.get(f"{names['url']}/nothing").build().send()
            statuses.append((response.status, (await response.json())["error"]["status"]))
            response = await client.get(f"{names['http_url']}/").build().send()
            statuses.append((response.status, "What the phones received" in await response.text()))
            response = await client.get(f"{names['http_url']}/stats").build().send()
            statuses.append((response.status, (await response.json())["received"]))
        return statuses

    statuses, _ = around(tmp_path, use)
    assert statuses == [
        (400, "invalid_grant"),
        (400, "invalid_grant"),
        (401, "UNAUTHENTICATED"),
        (404, "NOT_FOUND"),
        (200, True),
        (200, 0),
    ]


def test_an_expired_bearer_is_refused(tmp_path: Path) -> None:
    async def use(names: dict[str, Any]) -> Any:
        config = ChannelConfig(
            "fcm", "fcm_v1", 1.0, names["url"], Path(names["credentials"]), Path(names["ca_file"])
        )
        provider = open_provider(config)
        assert provider.credentials is not None
        await provider.credentials.refresh(None)
        header = provider.credentials.current()
        assert header is not None
        await asyncio.sleep(1.1)
        client = Http2Client(provider.base_url, connections=1, ca_file=config.ca_file)
        answers: list[Answer] = []
        client.submit(
            provider.adapter.build_request(message(1)), header, lambda _, answer: answers.append(answer), None
        )
        while not answers:
            await asyncio.sleep(0.01)
        await client.close()
        return provider.adapter.classify(answers[0]).kind

    assert around(tmp_path, use, token_seconds=1)[0] == "auth"


EVIL = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</title><h1>",
    "'\"><svg/onload=alert(1)>",
    "&lt;b&gt; & <b>",
    "{{7*7}}",
    "<!--",
]


def test_the_live_page_counts_and_shows_no_markup(tmp_path: Path) -> None:
    """Messages whose every text is markup go through the wire, one of them three times.

    Then the page is read as a browser gets it.
    """
    messages = [
        Message(
            f"{evil[:6].replace(' ', '')}{n}", f"{n:032x}", f"T{n} {evil}", f"B {evil}", None, None, 60, False
        )
        for n, evil in enumerate(EVIL)
    ]

    async def use(names: dict[str, Any]) -> tuple[str, str | None]:
        results = await send(
            names, [*messages, messages[2], messages[2], messages[0]._replace(address="<i>tok")]
        )
        assert {verdict.kind for _, verdict in results} == {"accepted"}
        client = ClientBuilder().timeout(timedelta(seconds=10)).build()
        async with client:
            response = await client.get(f"{names['http_url']}/").build().send()
            return await response.text(), response.headers.get("content-security-policy")

    (page, policy), phones = around(tmp_path, use)
    assert phones.received[f"{2:032x}"] == 3
    shown = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    tags = {tag.lower() for tag in re.findall(r"<[/!]?([A-Za-z]*)", shown)}
    assert tags <= {
        "doctype",
        "html",
        "meta",
        "link",
        "title",
        "h",
        "dl",
        "div",
        "dt",
        "dd",
        "ol",
        "li",
        "b",
        "br",
        "small",
        "table",
        "tr",
        "td",
        "code",
        "span",
    }
    assert not re.search(r"<[^>]* on[a-z]+=", shown)
    cards = [unescape(text) for text in re.findall(r"<li><b>(.*?)</b>", shown)]
    assert cards[-1] == f"T0 {EVIL[0]}"
    assert {f"T{n} {evil}" for n, evil in enumerate(EVIL)} == set(cards)
    assert f"<code>{2:032x}</code><td class=bad>3 times" in shown
    assert f"<code>{0:032x}</code><td class=bad>2 times" in shown
    assert f"<code>{1:032x}</code>" not in shown
    assert (shown.count("<span class=bad>3 times</span>"), shown.count("<span class=bad>2 times</span>")) == (
        3,
        2,
    )
    assert shown.count("· once<") == len(EVIL) - 2
    assert f"<dt>unique</dt><dd>{len(EVIL)}</dd>" in shown
    assert "<dt>doubled</dt><dd class=bad>3</dd>" in shown
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
