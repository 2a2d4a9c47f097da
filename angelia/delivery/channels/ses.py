"""E-mail by Amazon SES, API v2 (`SendEmail`, raw message), signed by botocore.

The channel's credentials name a JSON file with what SMTP needs (`from`, `unsubscribe_url`,
`unsubscribe_secret`) and `region`, `access_key_id`, `secret_access_key`; optional `session_token`,
`configuration_set`, `per_request` (1 to 50 mails in a request, by `ses_bulk`; else 1). The message is the one
SMTP would send, one-click headers and all; SES writes its own Message-ID, so the dispatch id also travels as
a tag. Surprise: a suspended account halts the channel.
"""

from __future__ import annotations

import base64
import json
import re

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys

from angelia.delivery.channels.answers import judge
from angelia.delivery.channels.base import (
    ACCEPTED,
    AMBIGUOUS,
    HALT,
    REJECTED,
    THROTTLED,
    Capabilities,
    ChannelConfig,
    Message,
    MessageRejected,
    Provider,
    StandIn,
    Verdict,
    load_credentials,
)
from angelia.delivery.channels.mail_format import Mailbox
from angelia.delivery.channels.ses_bulk import MOST, TAG, SesBulk
from angelia.delivery.channels.smtp import ACCOUNT, PAYLOAD_LIMIT, SmtpAdapter, mail_of
from angelia.delivery.channels.tokens import gathered, json_object, per_request, pooled, under_way
from angelia.errors import InvalidInput
from angelia.transport.pooled_http import TokenPlace
from angelia.transport.wire import Answer, Request

PATH = "/v2/email/outbound-emails"
# Exception -> meaning. Source: botocore's service model sesv2 (2019-09-27), SendEmail, read 2026-11-28; the
# last ones are common to AWS (docs/reference/channels.md, written down 2026-11-21).
ERRORS: dict[str, str] = {
    "TooManyRequestsException": THROTTLED, "LimitExceededException": THROTTLED,
    "AccountSuspendedException": HALT, "SendingPausedException": HALT, "MessageRejected": REJECTED,
    "MailFromDomainNotVerifiedException": HALT, "NotFoundException": HALT, "BadRequestException": REJECTED,
    "ThrottlingException": THROTTLED, "AccessDeniedException": HALT, "InvalidSignatureException": HALT,
    "UnrecognizedClientException": HALT, "ExpiredTokenException": HALT, "SignatureDoesNotMatch": HALT,
}  # fmt: skip
_REGION = re.compile(r"[a-z]{2}(-[a-z0-9]+)+")


class SesAdapter:
    """Builds signed requests of one account and region."""

    def __init__(
        self, mail: SmtpAdapter, url: str, region: str, keys: Keys, configuration_set: str | None = None
    ) -> None:
        self._mail, self._url, self._set = mail, url.rstrip("/") + PATH, configuration_set
        self.signer = SigV4Auth(keys, "ses", region)

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`."""
        if not TAG.fullmatch(message.dispatch_id):
            raise MessageRejected("control_character:header")
        mail = self._mail.build_request(message)
        document: dict[str, object] = {
            "Destination": {"ToAddresses": [mail.path.decode("ascii")]},
            "Content": {"Raw": {"Data": base64.b64encode(mail.body).decode()}},
            "EmailTags": [{"Name": "dispatch_id", "Value": message.dispatch_id}],
        }
        if self._set:
            document["ConfigurationSetName"] = self._set
        body = json.dumps(document, separators=(",", ":")).encode()
        signed = AWSRequest("POST", self._url, {"Content-Type": "application/json"}, body)
        self.signer.add_auth(signed)
        extra = tuple((name.lower().encode(), value.encode()) for name, value in signed.headers.items())
        return Request(PATH.encode(), (), body, extra)

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`."""
        document = json_object(answer)
        if answer.status == 200:
            name = document.get("MessageId")
            known = isinstance(name, str)
            return Verdict(ACCEPTED, None, str(name)) if known else Verdict(AMBIGUOUS, "answer_without_id")
        error_type = answer.header(b"x-amzn-errortype") or str(document.get("__type") or "")
        # The header may go on with an address, `Name:http://…`; the body's may begin with a namespace.
        code = error_type.partition(":")[0].rpartition("#")[2]
        return judge(answer, code, ERRORS)


CAPABILITIES = Capabilities(
    address="mail address",
    limit=f"{PAYLOAD_LIMIT:,} bytes of message",
    collapse=None,
    ttl=None,
    receipts="SNS events, with the dispatch id as a tag; one-click unsubscribe",
    multicast=MOST,
)


def stand_in() -> StandIn:
    """Return SES without an account."""
    mail = SmtpAdapter(Mailbox("n" * 60, "a@stand-in.example"), "https://stand-in.example/u", b"stand-in")
    keys = Keys("AKIDEXAMPLE", "stand-in")
    return StandIn(
        SesAdapter(mail, "https://email.eu-west-1.amazonaws.com", "eu-west-1", keys), "a@b.example"
    )


def require_region(region: str) -> None:
    """Refuse a malformed region, since it becomes part of a host's name.

    Raises:
        InvalidInput: it is none.
    """
    if not _REGION.fullmatch(region):
        raise InvalidInput("the AWS region is malformed", fix="write it like eu-west-1")


def open_provider(config: ChannelConfig) -> Provider:
    """Return SES for an account and region."""
    loaded = load_credentials(config, (*ACCOUNT, "region", "access_key_id", "secret_access_key"))
    account = {name: str(value) for name, value in loaded.items() if value}
    _, mail = mail_of(config, account)
    require_region(account["region"])
    url = config.base_url or f"https://email.{account['region']}.amazonaws.com"
    keys = Keys(account["access_key_id"], account["secret_access_key"], account.get("session_token"))
    adapter = SesAdapter(mail, url, account["region"], keys, account.get("configuration_set"))
    most = per_request(config, loaded, MOST)
    bulk = SesBulk(adapter, mail, url, adapter.signer, account.get("configuration_set"))
    if most == 1:
        return Provider(adapter, url, None, concurrency=32, open_transport=pooled(url), other_form=bulk)
    opened, rows = gathered(url, TokenPlace(), bulk, most), under_way(most)
    return Provider(bulk, url, None, concurrency=rows, open_transport=opened, other_form=adapter)
