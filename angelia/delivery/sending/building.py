"""A row's request, from its manifest columns: rendered, and built by the channel's adapter.

Grain: one message of a batch. Surprise: an error that nobody expects, of a template or of an adapter, rejects
its own row (`build_error`); nothing of it was sent, and the rows beside it go on.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from angelia.contracts import outcomes as words
from angelia.contracts.ids import list_id
from angelia.delivery.channels import base
from angelia.delivery.sending.clearance import Settle
from angelia.delivery.sending.context import DeliveryContext
from angelia.delivery.sending.sender import Sender
from angelia.transport.exchanges import log_error
from angelia.transport.wire import Request


class Builder:
    """Builds the requests of one batch's rows."""

    def __init__(self, work: DeliveryContext, sender: Sender, column: dict[str, list[Any]]) -> None:
        self._work, self._sender, self._column = work, sender, column

    def build(self, i: int) -> tuple[Request, bytes] | Settle:
        """Return a row's request and its payload's hash, or the outcome of a row without."""
        fields, reveal = self._column["fields"][i], self._work.reveal
        try:
            request = shown = self._request(self._sender.adapter, i, fields)
            if reveal is not None and (revealed := reveal(self._column["user_id"][i], fields)) != fields:
                request = self._request(self._sender.adapter, i, revealed)
            # Of what stands in the lake: a hash of six digits more would give them away.
            return request, sha256(shown.body).digest()
        except base.MessageRejected as error:
            return Settle(words.REJECTED, error.reason)
        except Exception as error:  # noqa: BLE001 - a defect met by one row must not stop the others, nor be sent
            log_error("building a message", error)
            return Settle(words.REJECTED, "build_error")

    def is_other_form(self, i: int, before: bytes) -> bool:
        """Say whether a row's first bytes said the same, by another `per_request` of its account."""
        other = self._sender.other_form
        if other is None:
            return False
        try:
            return sha256(self._request(other, i, self._column["fields"][i]).body).digest() == before
        except base.MessageRejected:
            return False
        except Exception as error:  # noqa: BLE001 - then nobody knows, and the row counts as changed
            log_error("building a message", error)
            return False

    def _request(self, adapter: base.Adapter, i: int, fields: str) -> Request:
        return adapter.build_request(self._message(i, fields))

    def _message(self, i: int, fields: str) -> base.Message:
        column = self._column
        title, body, link = self._work.render(
            column["template_id"][i], column["template_version"][i], fields, column["locale"][i]
        )
        return base.Message(
            column["address"][i], column["dispatch_id"][i], title, body, link, column["collapse_key"][i],
            column["ttl_s"][i],
            column["priority"][i] == "high",
            self._work.classes.get(column["campaign_id"][i], words.MARKETING),
            list_id(column["campaign_id"][i], column["occurrence"][i], self._sender.channel),
        )  # fmt: skip
