"""Lists of tokens: one text to many devices in one request, an outcome for each.

Grain: one message. What the rows of a list share holds a list's id (campaign, occurrence and channel) in
place of a dispatch id; a phone's list id and token together name its message (`ids.listed_id`). Sources:
Huawei's "Request Body Parameters" (token: at most 1,000) and "Response Parameters" (80100000: some tokens
failed, `illegalTokens` names them by reason), read 2026-11-28; Xiaomi's "Server API Address and Parameters"
(a list of RegIDs with commas between, `bad_regids`), read 2026-11-29, which names no number: the client
library push-xiaomi for Node sends 500. Surprise: an account that sends lists sends its single messages in
the same form, so that an app knows one form; a message of the intake alone keeps its dispatch id.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from urllib.parse import unquote_plus

from angelia.delivery.channels.base import ChannelConfig, Message
from angelia.delivery.channels.tokens import gathered, json_object, pooled, under_way
from angelia.transport.gathered import Gatherer
from angelia.transport.pooled_http import TokenPlace
from angelia.transport.wire import Answer, Request, Transport

HUAWEI_MOST, XIAOMI_MOST = 1000, 500
WAIT_S = 0.05  # five times as long as for other batches: a list that is not full costs a whole request
SOME_FAILED, ALL_FAILED, SUCCESS = "80100000", "80300007", "80000000"
_TARGET, _LISTED, _TOKEN = b',"target":{"token":[', b'"biTag":"l-', b"registration_id="


def naming(message: Message, *, by_list: bool) -> dict[str, str]:
    """Return what tells the phone which message it has, and comes back in receipts."""
    if by_list and message.list_id:
        return {"list_id": message.list_id}
    return {"dispatch_id": message.dispatch_id}


class HuaweiLists:
    """Joins requests that differ in their token only, and splits the answer (see `Gatherer`)."""

    def key(self, request: Request) -> bytes | None:
        """See `Gatherer.key`."""
        shared, _, _ = request.body.rpartition(_TARGET)
        return shared if _LISTED in shared else None

    def join(self, requests: Sequence[Request]) -> Request:
        """See `Gatherer.join`. A token that two rows have stands there once."""
        shared, _, _ = requests[0].body.rpartition(_TARGET)
        tokens = b",".join(dict.fromkeys(map(_quoted, requests)))
        return requests[0]._replace(body=shared + _TARGET + tokens + b"]}}")

    def split(self, answer: Answer, requests: Sequence[Request]) -> list[Answer]:
        """See `Gatherer.split`. A named token has its own reason."""
        document = json_object(answer)
        code, tokens = document.get("code"), [json.loads(_quoted(request)) for request in requests]
        if answer.status != 200 or code not in (SOME_FAILED, ALL_FAILED):
            return [answer] * len(requests)
        refused, n_failed = _refused(document.get("msg"))
        rest: dict[str, object] = {"code": code}
        if code == SOME_FAILED:
            # Where the answer does not name all that failed, a row it does not name may be one of them.
            is_whole = 0 < len(refused) == n_failed and refused.keys() <= {*tokens}
            rest = {"code": SUCCESS, "requestId": document.get("requestId")} if is_whole else {}
        others = _answer(answer, rest)
        own = {why: _answer(answer, {"code": code, "msg": _illegal(why)}) for why in {*refused.values()}}
        return [own[refused[token]] if token in refused else others for token in tokens]


class XiaomiLists:
    """Joins forms that differ in their registration id only, and splits the answer."""

    def key(self, request: Request) -> bytes | None:
        """See `Gatherer.key`."""
        _, shared = _parts(request)
        return shared if b"list_id%22%3A%22l-" in shared else None

    def join(self, requests: Sequence[Request]) -> Request:
        """See `Gatherer.join`. An id that two rows have stands there once."""
        ids = b"%2C".join(dict.fromkeys(_parts(request)[0] for request in requests))
        return requests[0]._replace(body=_TOKEN + ids + b"&" + _parts(requests[0])[1])

    def split(self, answer: Answer, requests: Sequence[Request]) -> list[Answer]:
        """See `Gatherer.split`. The ids that were none are named, also where the rest was taken."""
        document = json_object(answer)
        data = document.get("data")
        bad = data.get("bad_regids") if isinstance(data, dict) else None
        if answer.status != 200 or not isinstance(data, dict) or not bad:
            return [answer] * len(requests)
        named = {name.strip() for name in bad.split(",")} if isinstance(bad, str) else {*map(str, bad)}
        rest = _answer(answer, {**document, "data": {"id": data.get("id")}})
        ids = (unquote_plus(_parts(request)[0].decode("ascii")) for request in requests)
        return [answer if each in named else rest for each in ids]


def by_lists(
    base_url: str, gatherer: Gatherer, most: int
) -> tuple[int, Callable[[ChannelConfig, float], Transport]]:
    """Return how many rows may be under way, and what opens a connection for `most` a request."""
    if most == 1:
        return under_way(most), pooled(base_url)
    return under_way(most), gathered(base_url, TokenPlace(), gatherer, most, WAIT_S)


def _quoted(request: Request) -> bytes:
    """Return the one token of a request as JSON has it."""
    return request.body.rpartition(_TARGET)[2].removesuffix(b"]}}")


def _refused(text: object) -> tuple[dict[str, str], int]:
    """Return why tokens were refused, and how many; nothing if the answer cannot be read."""
    try:
        document = json.loads(text) if isinstance(text, str) else {}
        refused = {token: str(why) for why, some in document["illegalTokens"].items() for token in some}
        return refused, document.get("failure", len(refused))
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}, 0


def _illegal(why: str) -> str:
    return json.dumps({"illegalTokens": {why: []}, "failure": 1})


def _parts(request: Request) -> tuple[bytes, bytes]:
    """Return the registration id of a form, and everything else in it."""
    token, _, shared = request.body.removeprefix(_TOKEN).partition(b"&")
    return token, shared


def _answer(answer: Answer, document: dict[str, object]) -> Answer:
    return Answer(answer.status, json.dumps(document).encode(), answer.headers)
