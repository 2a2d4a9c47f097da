"""What every provider's stand-in does with a message that passed its checks."""

from __future__ import annotations

import json
from collections.abc import Callable

from angelia.sandbox.fcm import Reply
from angelia.sandbox.phones import Phones
from angelia.sandbox.rules import Rules, Then
from angelia.transport.header_blocks import Headers

Failed = Callable[[Then], Reply]


class ProviderSandbox:
    """Answers the paths that begin with one of `paths`, and posts to those in `posted`."""

    paths: tuple[bytes, ...] = ()
    posted: tuple[bytes, ...] = ()

    def __init__(self, phones: Phones, rules: Rules) -> None:
        self.phones, self._rules = phones, rules

    def answer(
        self, method: bytes, path: bytes, authorization: bytes, headers: Headers, body: bytes
    ) -> Reply:
        """Return the answer to one request; `headers` are in lower case."""
        raise NotImplementedError

    def serve(
        self, dispatch: str, token: str, title: str, text: str, accepted: Reply, failed: Failed
    ) -> Reply:
        """Let the rules decide what becomes of a message; without one the phone receives it.

        `failed` makes the provider's own answer of a rule with a status or an error.
        """
        then = self._rules.find(token, dispatch) if self._rules.active else None
        if then is not None and then.is_unseen:
            self.phones.outcomes["broken_before"] += 1
            return accepted._replace(then=then)
        if then is not None and (then.status >= 300 or then.error):
            self.phones.outcomes[then.error or str(then.status)] += 1
            reply = failed(then)
            body = reply.body if then.body is None else then.body.encode()
            retry = then.retry_after.encode() if then.retry_after else None
            return reply._replace(then=then, body=body, retry_after=retry)
        self.phones.receive(dispatch, token, title, text)
        self.phones.outcomes["accepted"] += 1
        return accepted._replace(then=then)

    def refused(self, status: int, outcome: str, document: dict[str, object]) -> Reply:
        """Return a refusal and count it."""
        self.phones.outcomes[outcome] += 1
        return Reply(status, json.dumps(document).encode())
