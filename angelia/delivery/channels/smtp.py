"""E-mail over SMTP: one message per transaction, TLS always, one-click unsubscribe headers.

`ANGELIA_EMAIL_CREDENTIALS` names a JSON file with `from`, `unsubscribe_url` (https), `unsubscribe_secret`;
optional `user` and `password`.
`ANGELIA_EMAIL_URL` is `smtps://host:465` (TLS at once) or `smtp://host:587` (STARTTLS, required). The
dispatch id is the Message-ID; the date is put in front by the transport, so that a repeat has the same
payload.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formataddr
from typing import Any
from urllib.parse import urlencode, urlsplit

from angelia.delivery.channels.base import (
    ACCEPTED,
    GONE,
    HALT,
    REJECTED,
    RETRY,
    THROTTLED,
    Capabilities,
    ChannelConfig,
    Message,
    MessageRejected,
    Provider,
    StandIn,
    Verdict,
    header_value,
    load_credentials,
    require_size,
)
from angelia.delivery.channels.mail_format import (
    POLICY,
    Mailbox,
    has_control,
    has_encoded_word,
    parse_mailbox,
)
from angelia.errors import InvalidInput
from angelia.transport.addresses import ascii_address
from angelia.transport.smtp_transport import CONNECTIONS, SmtpTransport
from angelia.transport.wire import Answer, Request

# Enhanced status code (RFC 3463 and its registry, read 2026-11-21), then plain reply code (RFC 5321 4.2,
# written down 2026-11-21) -> meaning.
# 5.7.x is policy or reputation: it is about us, not about the person, and a run of it halts the channel.
ENHANCED: dict[str, str] = {
    "5.1.1": GONE, "5.1.2": GONE, "5.1.3": REJECTED, "5.1.6": GONE, "5.1.10": GONE, "5.2.1": GONE,
    "5.2.2": REJECTED, "5.3.4": REJECTED,
    "5.4.14": REJECTED, "5.7.0": HALT, "5.7.1": HALT, "5.7.8": HALT, "5.7.9": HALT, "5.7.26": HALT,
    "4.7.0": THROTTLED, "4.7.28": THROTTLED,
}  # fmt: skip
CODES: dict[int, str] = {
    421: THROTTLED,
    450: RETRY,
    451: RETRY,
    452: RETRY,
    454: RETRY,
    530: HALT,
    534: HALT,
    535: HALT,
    538: HALT,
}
PAYLOAD_LIMIT = 256 * 1024
URL_LIMIT = 800  # a header line that cannot be folded ends at 998 (RFC 5322 2.1.1)
ACCOUNT = ("from", "unsubscribe_url", "unsubscribe_secret")  # what every sender of mails has to name
_LINK = re.compile(r"https://[\x21-\x3e\x40-\x7e]+")


def unsubscribe_token(secret: bytes, dispatch_id: str) -> str:
    """Return what proves that an unsubscribe link was made here."""
    return hmac.new(secret, f"unsubscribe\x1f{dispatch_id}".encode(), hashlib.sha256).hexdigest()[:32]


class SmtpAdapter:
    """Builds messages of one sender."""

    def __init__(self, sender: Mailbox, unsubscribe_url: str, secret: bytes) -> None:
        self._url, self._secret = unsubscribe_url, secret
        self._sender = Address(display_name=sender.name, addr_spec=sender.address)
        self._domain = sender.address.rpartition("@")[2]

    @property
    def from_header(self) -> str:
        """The sender as a header has it, in ASCII."""
        return formataddr((self._sender.display_name, self._sender.addr_spec))

    def unsubscribe_link(self, name: str) -> str:
        """Return the address by which the receiver of a dispatch unsubscribes."""
        return f"{self._url}?{urlencode({'d': name, 't': unsubscribe_token(self._secret, name)})}"

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`.

        The path of the request is the recipient, the body everything after the date.
        """
        recipient = ascii_address(message.address)
        if recipient is None:
            raise MessageRejected("bad_address")
        if has_control(message.title) or has_control(message.link or ""):
            raise MessageRejected("control_character:header")
        if has_encoded_word(message.title):
            raise MessageRejected("encoded_word:title")
        mail = EmailMessage(policy=POLICY)
        name = header_value(message.dispatch_id).decode()
        link = self.unsubscribe_link(name)
        try:
            mail["From"] = self._sender
            mail["To"] = recipient
            mail["Subject"] = message.title
            mail["Message-ID"] = f"<{name}@{self._domain}>"
            # RFC 8058: both headers, an https address, no cookie or page between the click and its effect.
            mail["List-Unsubscribe"] = f"<{link}>"
            mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
            if message.is_urgent:
                mail["Importance"] = "high"
            mail.set_content(f"{message.body}\n\n{message.link}\n" if message.link else f"{message.body}\n")
            body = bytes(mail)
        except (ValueError, HeaderParseError, IndexError):
            # IndexError comes from the email package's own parser, on ids such as `:`.
            raise MessageRejected("bad_header") from None
        require_size(len(body), PAYLOAD_LIMIT)
        return Request(recipient.encode("ascii"), (), body, own_path=True)

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`.

        The status is the reply code, the body its text, of which only the enhanced code is read.
        """
        code = answer.status
        if 200 <= code < 300:
            return Verdict(ACCEPTED)
        prefix = re.match(rb"([245]\.\d{1,3}\.\d{1,3})\b", answer.body)
        enhanced = prefix.group(1).decode() if prefix else ""
        kind = ENHANCED.get(enhanced) or CODES.get(code) or (RETRY if code < 500 else REJECTED)
        return Verdict(kind, f"SMTP_{code}" + (f"_{enhanced}" if enhanced else ""))


CAPABILITIES = Capabilities(
    address="mail address",
    limit=f"{PAYLOAD_LIMIT:,} bytes of message",
    collapse=None,
    ttl=None,
    receipts="bounces, complaints, one-click unsubscribe",
)


def stand_in() -> StandIn:
    """Return e-mail without an account, with a sender and a link longer than real ones are."""
    url = "https://stand-in.example/" + "u" * 200
    address = f"{'a' * 64}@{'d' * 63}.{'d' * 63}.example"
    return StandIn(SmtpAdapter(Mailbox("n" * 60, address), url, b"stand-in"), address)


def mail_of(config: ChannelConfig, account: Mapping[str, Any]) -> tuple[Mailbox, SmtpAdapter]:
    """Return the sender that a file of `ACCOUNT` names, and what writes its mails.

    Raises:
        InvalidInput: the sender is no mailbox, or the link is not one that fits into the header.
    """
    sender, link = parse_mailbox(str(account["from"])), str(account["unsubscribe_url"])
    if sender is None:
        raise InvalidInput(
            f"channel {config.channel}: the sender is not an address",
            fix='write "from" as news@shop.example or Shop <news@shop.example>',
        )
    # The link goes into a header that cannot be folded, and its query is ours.
    if len(link) > URL_LIMIT or not _LINK.fullmatch(link):
        raise InvalidInput(
            f"channel {config.channel}: unsubscribe_url is not an https address of at most {URL_LIMIT} ASCII "
            "characters, without query",
            fix="one-click unsubscribing needs https (RFC 8058)",
        )
    return sender, SmtpAdapter(sender, link, str(account["unsubscribe_secret"]).encode())


def open_provider(config: ChannelConfig) -> Provider:
    """Return e-mail over the server that `ANGELIA_EMAIL_URL` names."""
    account = load_credentials(config, ACCOUNT)
    variable = f"ANGELIA_{config.channel.upper()}_URL"
    parts = urlsplit(config.base_url or "")
    # A path would be ignored, so it is more likely a mistake than meant.
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path not in ("", "/"):
        raise InvalidInput(
            f"{variable} is not smtps://host:465 or smtp://host:587", fix="name the mail server there"
        )
    sender, adapter = mail_of(config, account)
    user = (str(account["user"]), str(account["password"])) if account.get("user") else None

    def transport(given: ChannelConfig, timeout_s: float) -> SmtpTransport:
        assert parts.hostname is not None
        port = parts.port or (465 if parts.scheme == "smtps" else 587)
        return SmtpTransport(
            parts.hostname,
            port,
            sender.address,
            user,
            timeout_s,
            is_implicit=parts.scheme == "smtps",
            ca_file=given.ca_file,
        )

    # A rehearsal reaches nobody through a server on this machine; any other server may deliver.
    is_local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    return Provider(
        adapter, config.base_url or "", None, CONNECTIONS, CONNECTIONS, transport, may_rehearse=is_local
    )
