"""Requests of the intake as typed methods, from its OpenAPI document.

Written by `make docs`. Reads and writes the intake's REST interface.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, cast

from angelia.client.bodies import (
    AcceptedBody,
    AddressesKept,
    AddressesView,
    AddressOfDevice,
    BatchAnswer,
    CodeMade,
    CodeRequest,
    CodeVerdict,
    ExternalIdsView,
    IntakeMessage,
    MessagePage,
    MessageView,
    PreferencesKept,
    PreferencesSaid,
    PreferencesView,
)
from angelia.client.calls import Calls, in_path, keyed, keyed_each


class IntakeClient(Calls):
    """An intake, as one client with one key sees it.

    `with IntakeClient(address, key) as intake:` closes its connections at the end. Every method may raise
    `IntakeRefused`, with the codes that it names, and `IntakeUnreachable`.
    """

    def send_message(self, message: IntakeMessage) -> AcceptedBody:
        """Take one message; 202 says that it is durable.

        Codes: busy database_unavailable idempotency_conflict internal lake_unavailable missing no_key
        not_in_scope not_json rate_limited too_large
        """
        return cast("AcceptedBody", self._call("POST", "/v1/messages", body=keyed(message)))

    def messages(
        self,
        *,
        status: Literal[
            "accepted",
            "claimed",
            "queued",
            "sent",
            "delivered",
            "opened",
            "failed",
            "ambiguous",
            "refused",
            "cancelled",
            "expired",
        ]
        | None = None,
        campaign: str | None = None,
        template: str | None = None,
        channel: str | None = None,
        accepted_from: datetime | str | None = None,
        accepted_to: datetime | str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> MessagePage:
        """List this client's messages, newest first; `next` is the cursor of the next page.

        Codes: database_unavailable internal invalid no_key not_in_scope
        """
        return cast(
            "MessagePage",
            self._call(
                "GET",
                "/v1/messages",
                query={
                    "status": status,
                    "campaign": campaign,
                    "template": template,
                    "channel": channel,
                    "from": accepted_from,
                    "to": accepted_to,
                    "cursor": cursor,
                    "limit": limit,
                },
            ),
        )

    def send_batch(self, messages: list[IntakeMessage]) -> BatchAnswer:
        """Take up to a thousand messages; each has its own verdict, in the order given.

        Codes: busy database_unavailable internal lake_unavailable missing no_key not_in_scope not_json
        rate_limited too_large
        """
        return cast(
            "BatchAnswer", self._call("POST", "/v1/messages:batch", body={"messages": keyed_each(messages)})
        )

    def resend_message(self, message_id: str) -> AcceptedBody:
        """Send a message once more, as a message of its own; asked twice, it is sent once.

        Codes: busy database_unavailable internal no_key not_found not_in_scope not_resendable
        rate_limited
        """
        return cast("AcceptedBody", self._call("POST", f"/v1/messages/{in_path(message_id)}:resend"))

    def message(self, message_id: str) -> MessageView:
        """Show one message, its status and the time of each step.

        Codes: database_unavailable internal no_key not_found not_in_scope
        """
        return cast("MessageView", self._call("GET", f"/v1/messages/{in_path(message_id)}"))

    def cancel_message(self, message_id: str) -> MessageView:
        """Cancel a message that nobody took yet; a cancelled one stays cancelled and says so again.

        Codes: database_unavailable internal no_key not_cancellable not_found not_in_scope
        """
        return cast("MessageView", self._call("DELETE", f"/v1/messages/{in_path(message_id)}"))

    def make_code(self, body: CodeRequest) -> CodeMade:
        """Send a person a code by a message of high priority; it is in no answer.

        Codes: cool_down database_unavailable internal missing no_key not_in_scope not_json rate_limited
        too_large
        """
        return cast("CodeMade", self._call("POST", "/v1/codes", body=body, repeatable=False))

    def verify_code(self, code_id: str, code: str) -> CodeVerdict:
        """Say whether a code is right: once, and with five tries; an unknown id is a wrong code.

        Codes: database_unavailable internal missing no_key not_in_scope not_json rate_limited too_large
        """
        return cast(
            "CodeVerdict",
            self._call("POST", f"/v1/codes/{in_path(code_id)}:verify", body={"code": code}, repeatable=False),
        )

    def external_ids(self, user_id: str) -> ExternalIdsView:
        """Show a person's ids in other systems.

        Codes: database_unavailable format internal lake_unavailable no_key not_found not_in_scope
        rate_limited
        """
        return cast("ExternalIdsView", self._call("GET", f"/v1/users/{in_path(user_id)}/external-ids"))

    def put_external_ids(self, user_id: str, external_ids: dict[str, list[str]]) -> ExternalIdsView:
        """Keep a person's ids of the systems that are named; messages may name them from now on.

        Codes: database_unavailable external_id_taken format internal lake_unavailable no_key not_found
        not_in_scope not_json rate_limited too_large
        """
        return cast(
            "ExternalIdsView",
            self._call(
                "PUT", f"/v1/users/{in_path(user_id)}/external-ids", body={"external_ids": external_ids}
            ),
        )

    def preferences(self, user_id: str) -> PreferencesView:
        """Show what a person said of topics and channels, and which channels are closed.

        Codes: database_unavailable format internal lake_unavailable no_key not_found not_in_scope
        rate_limited
        """
        return cast("PreferencesView", self._call("GET", f"/v1/users/{in_path(user_id)}/preferences"))

    def put_preferences(self, user_id: str, body: PreferencesSaid) -> PreferencesKept:
        """Keep what a person said; all but the language holds within ten seconds.

        Codes: database_unavailable format internal lake_unavailable no_key not_found not_in_scope
        not_json rate_limited too_large
        """
        return cast(
            "PreferencesKept", self._call("PUT", f"/v1/users/{in_path(user_id)}/preferences", body=body)
        )

    def addresses(self, user_id: str) -> AddressesView:
        """Show a person's addresses, masked.

        Codes: database_unavailable format internal lake_unavailable no_key not_found not_in_scope
        rate_limited
        """
        return cast("AddressesView", self._call("GET", f"/v1/users/{in_path(user_id)}/addresses"))

    def put_addresses(self, user_id: str, addresses: dict[str, list[str | AddressOfDevice]]) -> AddressesKept:
        """Keep a person's addresses of the channels that are named; the next night knows them.

        Codes: database_unavailable format internal lake_unavailable no_key not_found not_in_scope
        not_json not_offered rate_limited too_large
        """
        return cast(
            "AddressesKept",
            self._call("PUT", f"/v1/users/{in_path(user_id)}/addresses", body={"addresses": addresses}),
        )
