"""What Amazon SNS's text messages and mobile push share: `Publish` and its codes.

Text messages are `sns_sms.py`, mobile push `sns_push.py`; the credentials file has `region`, `access_key_id`
and `secret_access_key`, optional `session_token`.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys
from botocore.model import DenormalizedStructureBuilder
from botocore.parsers import QueryParser, ResponseParserError

from angelia.delivery.channels.answers import judge, provider_id
from angelia.delivery.channels.base import (
    ACCEPTED,
    HALT,
    OPTED_OUT,
    REJECTED,
    RETRY,
    THROTTLED,
    Adapter,
    ChannelConfig,
    Provider,
    Verdict,
    load_credentials,
)
from angelia.delivery.channels.ses import require_region
from angelia.delivery.channels.tokens import pooled
from angelia.transport.wire import Answer, Request

PATH = b"/"
# `Error.Code` -> meaning. Source: botocore's service model sns (2010-03-31), Publish and OptedOutException,
# and its retries/standard.py for Throttling, read 2026-11-28. What is common to AWS (signatures, rights,
# expired tokens) comes with 403, and is judged by that.
ERRORS: dict[str, str] = {
    "InvalidParameter": REJECTED, "ParameterValueInvalid": REJECTED, "ValidationException": REJECTED,
    "InternalError": RETRY, "Throttled": THROTTLED, "Throttling": THROTTLED, "ThrottlingException": THROTTLED,
    "OptedOut": OPTED_OUT, "AuthorizationError": HALT, "PlatformApplicationDisabled": HALT, "NotFound": HALT,
    "InvalidSecurity": HALT,
}  # fmt: skip
_RESULT = {"PublishResult": {"type": "structure", "members": {"MessageId": {"type": "string"}}}}
_SHAPE = DenormalizedStructureBuilder().with_members(_RESULT).build_model()
_FORM = "application/x-www-form-urlencoded; charset=utf-8"


class Publisher:
    """Signs `Publish` for one account and region, and reads what comes back."""

    def __init__(self, url: str, region: str, keys: Keys, errors: Mapping[str, str] = ERRORS) -> None:
        self._url, self._signer = url.rstrip("/") + PATH.decode(), SigV4Auth(keys, "sns", region)
        self._errors, self._parser = errors, QueryParser()

    def request(self, fields: Mapping[str, str], attributes: Mapping[str, str]) -> Request:
        """Return a signed request; `attributes` are message attributes, all of them texts."""
        form = {"Action": "Publish", "Version": "2010-03-31", **fields}
        for number, (name, text) in enumerate(sorted(attributes.items()), 1):
            entry = f"MessageAttributes.entry.{number}"
            form |= {f"{entry}.Name": name, f"{entry}.Value.DataType": "String"}
            form[f"{entry}.Value.StringValue"] = text
        body = urlencode(form).encode()
        signed = AWSRequest("POST", self._url, {"Content-Type": _FORM}, body)
        self._signer.add_auth(signed)
        extra = tuple((name.lower().encode(), value.encode()) for name, value in signed.headers.items())
        return Request(PATH, (), body, extra)

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`."""
        try:
            given = {"status_code": answer.status, "headers": {}, "body": answer.body}
            document = self._parser.parse(given, _SHAPE)
        except ResponseParserError:
            document = {}
        if answer.status == 200:
            result = document.get("PublishResult")
            name = provider_id(result.get("MessageId")) if isinstance(result, dict) else None
            return Verdict(ACCEPTED, None, name) if name else judge(answer, None, self._errors)
        error = document.get("Error")
        code = error.get("Code") if isinstance(error, dict) else None
        # Where the body says nothing, the parser puts the status in its place.
        return judge(answer, None if code == str(answer.status) else code, self._errors)


def stand_in_publisher(errors: Mapping[str, str] = ERRORS) -> Publisher:
    """Return a publisher of no account."""
    url = "https://sns.eu-west-1.amazonaws.com"
    return Publisher(url, "eu-west-1", Keys("AKIDEXAMPLE", "stand-in"), errors)


def open_publisher(
    config: ChannelConfig, errors: Mapping[str, str] = ERRORS
) -> tuple[Publisher, str, dict[str, str]]:
    """Return an account's publisher, its address, and what else the file holds.

    Raises:
        InvalidInput: the file lacks something, or its region is none.
    """
    needed = ("region", "access_key_id", "secret_access_key")
    account = {name: str(value) for name, value in load_credentials(config, needed).items() if value}
    require_region(account["region"])
    url = config.base_url or f"https://sns.{account['region']}.amazonaws.com"
    keys = Keys(account["access_key_id"], account["secret_access_key"], account.get("session_token"))
    return Publisher(url, account["region"], keys, errors), url, account


def provide(adapter: Adapter, url: str) -> Provider:
    """Return a provider that sends by an adapter of SNS; requests bear their own authorization."""
    return Provider(adapter, url, None, concurrency=32, open_transport=pooled(url))
