"""How a mail is written: headers within RFC 2047's and 5322's lines, addresses in ASCII.

Surprise: encoded words come from the standard library's older `Header`, since the newer policy of Python 3.11
drops blanks between two of them (116 of 4,000 random titles came back changed). An address or a link cannot
be folded; its line is as long as it is.
"""

from __future__ import annotations

import re
from email.header import Header
from email.policy import EmailPolicy
from email.utils import formataddr
from typing import Any, NamedTuple

from angelia.transport.addresses import ascii_address

# Source: RFC 2047 section 2: an encoded word has at most 75 characters, a line that holds one at most 76.
LINE = 76
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# The email package decodes encoded words it meets in a text: `=?utf-8?q?=0d=0a?=` would come out as a line
# break, and end the header.
_ENCODED = re.compile(r"=\?[^?]*\?[BbQq]\?")


class Mailbox(NamedTuple):
    """Who a mail is from: a name for people, which may be empty, and an address in ASCII."""

    name: str
    address: str


def has_control(text: str) -> bool:
    """Return whether something in a text could end a header."""
    return _CONTROL.search(text) is not None


def has_encoded_word(text: str) -> bool:
    """Return whether a text holds what a reader would decode."""
    return _ENCODED.search(text) is not None


def parse_mailbox(text: str) -> Mailbox | None:
    """Return the one mailbox that a text names; None if it names none, or several.

    A text is `n@s.example` or `Shop, Inc. <n@s.example>`.
    """
    if has_control(text) or has_encoded_word(text):
        return None
    name, address = "", text.strip()
    if address.endswith(">"):
        name, _, address = address[:-1].rpartition("<")
    name = name.strip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    elif re.search(r"[<>]", name):
        return None
    plain = ascii_address(address.strip())
    return Mailbox(name, plain) if plain else None


class MailPolicy(EmailPolicy):
    """The email package's policy, but for how headers are folded."""

    def fold(self, name: str, value: Any) -> str:
        """Return a header as it is sent."""
        text = str(value)
        if name == "From":
            mailbox = value.addresses[0]
            text = self._from(mailbox.display_name, mailbox.addr_spec)
        elif name == "Subject":
            text = self._words(text, name)
        return f"{name}: {text}{self.linesep}"

    def fold_binary(self, name: str, value: Any) -> bytes:
        """Return a header as it is sent, as bytes."""
        return self.fold(name, value).encode("ascii")

    def _from(self, name: str, address: str) -> str:
        if not name:
            return address
        room = LINE - len("From: ")
        words = formataddr((name, "")).removesuffix(" <>") if name.isascii() else ""
        if not words or len(words) > room:
            words = self._encoded(name, "From")
        elif len(words) + len(f" <{address}>") <= room:
            return f"{words} <{address}>"
        # On a line of its own: an address cannot be folded, and a line with an encoded word has its limit.
        return f"{words}{self.linesep} <{address}>"

    def _words(self, text: str, header: str) -> str:
        if text.isascii() and len(text) <= LINE - len(f"{header}: "):
            return text
        if text.isascii() and "  " not in text and all(len(word) < LINE // 2 for word in text.split(" ")):
            folded = Header(text, "us-ascii", maxlinelen=LINE, header_name=header)
            return folded.encode(linesep=self.linesep)
        return self._encoded(text, header)

    def _encoded(self, text: str, header: str) -> str:
        return Header(text, "utf-8", maxlinelen=LINE, header_name=header).encode(linesep=self.linesep)


POLICY = MailPolicy(max_line_length=LINE, cte_type="7bit", linesep="\r\n")
