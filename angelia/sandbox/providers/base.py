"""What every provider's stand-in does with a message that passed its checks."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Sequence

from angelia.contracts.ids import listed_id
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

    def serve_list(
        self,
        shared: str,
        tokens: Sequence[str],
        texts: tuple[str, str],
        done: Callable[[dict[str, str]], Reply],
        failed: Failed,
        of_token: Container[str],
    ) -> Reply:
        """Let the rules decide what becomes of one message to many tokens.

        An error that begins with a word of `of_token` is that token's own; `done` makes the answer of the
        tokens that have one. Any other failure is the whole request's, and no phone receives it.
        """
        names = {token: listed_id(shared, token) for token in tokens}
        fates = {token: self._rules.find(token, name) for token, name in names.items()}
        own = {
            token: then.error
            for token, then in fates.items()
            if then is not None and then.error and then.error.partition(".")[0] in of_token
        }
        for token, then in fates.items():
            if then is None or token in own:
                continue
            if then.is_unseen:
                self.phones.outcomes["broken_before"] += 1
                return done({})._replace(then=then)
            if then.status >= 300 or then.error:
                self.phones.outcomes[then.error or str(then.status)] += 1
                return failed(then)._replace(then=then)
        for token, name in names.items():
            if token not in own:
                self.phones.receive(name, token, *texts)
            self.phones.outcomes[own.get(token, "accepted")] += 1
        # An answer that is lost is lost for all.
        broken = (then for then in fates.values() if then is not None and (then.reset or then.silent))
        return done(own)._replace(then=next(broken, None))

    def refused(self, status: int, outcome: str, document: dict[str, object]) -> Reply:
        """Return a refusal and count it."""
        self.phones.outcomes[outcome] += 1
        return Reply(status, json.dumps(document).encode())
