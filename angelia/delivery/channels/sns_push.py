"""Mobile push by Amazon SNS: a row's address is the ARN of a platform endpoint.

A channel's credentials name a JSON file with `region`, `access_key_id` and `secret_access_key`; optional
`session_token`. The ARN itself names the platform: GCM (which is FCM) or APNS. Surprise: SNS answers before
the platform does, and switches an endpoint off when the platform refuses its token; only the answer to the
next message shows it.
"""

from __future__ import annotations

import json
import re

from angelia.delivery.channels import sns
from angelia.delivery.channels.base import (
    GONE,
    Capabilities,
    ChannelConfig,
    Message,
    MessageRejected,
    Provider,
    StandIn,
    Verdict,
    require_size,
)
from angelia.delivery.channels.sns import Publisher
from angelia.transport.wire import Answer, Request

# Source: docs.aws.amazon.com/sns/latest/dg: mobile-push-send-custommessage and sns-fcm-v1-payloads (shapes),
# sns-ttl (attributes), read 2026-11-28. The size is FCM's and APNs' own; SNS itself takes 256 KiB.
PAYLOAD_LIMIT, TTL_MAX_S = 4096, 2_419_200
# As for texts; an endpoint that is switched off or deleted is an address that is gone.
ERRORS: dict[str, str] = {**sns.ERRORS, "EndpointDisabled": GONE, "NotFound": GONE}
_ARN = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:endpoint/([A-Z_]+)/[A-Za-z0-9._-]+/[A-Za-z0-9-]+")
_APNS = ("APNS", "APNS_SANDBOX")


class SnsPushAdapter:
    """Builds notifications of one account."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`."""
        arn = _ARN.fullmatch(message.address)
        if arn is None or arn[1] not in ("GCM", *_APNS):
            raise MessageRejected("bad_address")
        lifetime = min(max(message.ttl_s, 0), TTL_MAX_S)
        data = {"dispatch_id": message.dispatch_id, **({"link": message.link} if message.link else {})}
        alert = {"title": message.title, "body": message.body}
        attributes: dict[str, str] = {}
        if arn[1] in _APNS:
            payload: dict[str, object] = {"aps": {"alert": alert}, **data}
            attributes[f"AWS.SNS.MOBILE.{arn[1]}.TTL"] = str(lifetime)
        else:
            android: dict[str, object] = {"ttl": f"{lifetime}s"}
            android["priority"] = "HIGH" if message.is_urgent else "NORMAL"
            if message.collapse_key:
                android["collapse_key"] = message.collapse_key
            payload = {"fcmV1Message": {"message": {"notification": alert, "data": data, "android": android}}}
        text = _json(payload)
        require_size(len(text.encode()), PAYLOAD_LIMIT)
        content = _json({"default": message.body, arn[1]: text})
        fields = {"TargetArn": message.address, "MessageStructure": "json", "Message": content}
        return self._publisher.request(fields, attributes)

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`."""
        return self._publisher.classify(answer)


def _json(document: dict[str, object]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


CAPABILITIES = Capabilities(
    address="ARN of a platform endpoint (GCM, APNS, APNS_SANDBOX)",
    limit=f"{PAYLOAD_LIMIT:,} bytes of the platform's JSON",
    collapse="FCM's collapse_key; none for APNs",
    ttl="android.ttl, or AWS.SNS.MOBILE.APNS.TTL",
    receipts="failures in CloudWatch's logs, from files; the app's own beacon",
)


def stand_in() -> StandIn:
    """Return mobile push without an account."""
    arn = f"arn:aws:sns:eu-west-1:123456789012:endpoint/GCM/app/{'0' * 8}-0000-0000-0000-{'0' * 12}"
    return StandIn(SnsPushAdapter(sns.stand_in_publisher(ERRORS)), arn)


def open_provider(config: ChannelConfig) -> Provider:
    """Return mobile push of an account and region."""
    publisher, url, _ = sns.open_publisher(config, ERRORS)
    return sns.provide(SnsPushAdapter(publisher), url)
