"""A sandbox in this process while it is used, and messages sent to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from angelia.delivery.channels.base import ChannelConfig, Message
from angelia.delivery.channels.fcm import open_provider
from angelia.sandbox.phones import Phones
from angelia.sandbox.server import serve
from angelia.transport.client import Http2Client
from angelia.transport.wire import Answer


def around(
    state: Path, use: Callable[[dict[str, Any]], Awaitable[Any]], rules: str = "", **options: Any
) -> tuple[Any, Phones]:
    """Run `use` against a sandbox; return what it returned, and the phones."""
    state.mkdir(exist_ok=True)
    path = None
    if rules:
        path = state / "rules.yaml"
        path.write_text(rules)

    async def main() -> tuple[Any, Phones]:
        ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        server = asyncio.create_task(
            serve(state, rules=path, announce=ready.set_result, max_seconds=60, **options)
        )
        names = await ready
        try:
            value = await use(names)
        finally:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGTERM)
            phones = await server
        return value, phones

    return asyncio.run(main())


async def send(
    names: dict[str, Any], messages: list[Message], *, timeout_s: float = 5.0, clear: bool = False
) -> list[tuple[Answer, Any]]:
    config = ChannelConfig(
        "fcm",
        "fcm_v1",
        1.0,
        names["http_url" if clear else "url"],
        Path(names["credentials"]),
        Path(names["ca_file"]),
    )
    provider = open_provider(config)
    assert provider.credentials is not None
    await provider.credentials.refresh(None)
    client = Http2Client(provider.base_url, connections=1, timeout_s=timeout_s, ca_file=config.ca_file)
    answers: dict[int, Answer] = {}
    finished = asyncio.Event()

    def done(tag: int, answer: Answer) -> None:
        answers[tag] = answer
        if len(answers) == len(messages):
            finished.set()

    for tag, message in enumerate(messages):
        client.submit(
            provider.adapter.build_request(message), provider.credentials.current() or b"", done, tag
        )
        await asyncio.sleep(0)
    await finished.wait()
    await client.close()
    return [
        (answers[tag], provider.adapter.classify(answers[tag]) if answers[tag].status else None)
        for tag in range(len(messages))
    ]


def message(n: int, token: str = "tok") -> Message:
    return Message(f"{token}{n}", f"{n:032x}", f"title {n}", "body", None, None, 60, False)
