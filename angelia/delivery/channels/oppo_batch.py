"""OPPO's unicast in batches: up to 1,000 messages in a request, an outcome for each.

Grain: one message; each has its own device, texts and dispatch id, so a batch loses none of them. Source:
OPPO's page "unicast" (open.oppomobile.com/new/developmentDoc, as stored), read 2026-11-28.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlencode

from angelia.delivery.channels.tokens import json_object
from angelia.transport.wire import Answer, Request

PATH, MOST = b"/server/v1/message/notification/unicast_batch", 1000


class OppoBatch:
    """Joins unicast requests, and splits the answer (see `Gatherer`)."""

    def key(self, request: Request) -> bytes:
        """See `Gatherer.key`. Each message keeps its own texts, so any may go together."""
        return b""

    def join(self, requests: Sequence[Request]) -> Request:
        """See `Gatherer.join`."""
        texts = ",".join(_message(request) for request in requests)
        return requests[0]._replace(path=PATH, body=urlencode({"messages": f"[{texts}]"}).encode())

    def split(self, answer: Answer, requests: Sequence[Request]) -> list[Answer]:
        """See `Gatherer.split`. A failure of the whole request is each row's."""
        document = json_object(answer)
        if answer.status != 200 or document.get("code") != 0:
            return [answer] * len(requests)
        listed = document.get("data")
        # By device, in the order of the answer: two messages to one device are told apart by their order.
        items: dict[Any, deque[dict[str, Any]]] = defaultdict(deque)
        for item in listed if isinstance(listed, list) else ():
            if isinstance(item, dict):
                items[item.get("registrationId")].append(item)
        targets = (json.loads(_message(request))["target_value"] for request in requests)
        return [_own(answer, items[target].popleft() if items[target] else None) for target in targets]


def _message(request: Request) -> str:
    return parse_qs(request.body.decode("ascii"))["message"][0]


def _own(answer: Answer, item: dict[str, Any] | None) -> Answer:
    """Return what a unicast would have answered; nothing for a row that the list does not name."""
    if item is None:
        return Answer(answer.status, b"{}", answer.headers)
    code = item.get("errorCode")
    document: dict[str, Any] = (
        {"code": code} if code else {"code": 0, "data": {"messageId": item.get("messageId")}}
    )
    return Answer(answer.status, json.dumps(document).encode(), answer.headers)
