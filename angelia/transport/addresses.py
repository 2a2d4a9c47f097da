"""The shapes of addresses, for the import that refuses and the adapters that send.

A shape says what can be an address at all. Whether somebody is there, only the provider knows.
"""

from __future__ import annotations

import re

from angelia.users.addresses import ascii_host

# A registration token is base64url with a colon (100 and more characters); the sandbox takes shorter ones.
FCM_TOKEN = r"[A-Za-z0-9_:.=/+%~-]{4,}|sandbox-[!-~]+"
# Hexadecimal, and part of a path. Source: Apple, "Sending notification requests to APNs", 2026-11-21.
APNS_TOKEN = r"[0-9A-Fa-f]{16,200}"
# Source: ITU-T E.164: a country code, which never begins with 0, and 15 digits at most.
PHONE = r"\+[1-9][0-9]{6,14}"
# One plain address: no display name, no quoting, no route; stricter than RFC 5321, and nothing in it can end
# a command or a header.
MAIL = (
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}"
)
MAIL_CHARS = 254  # Source: RFC 5321 section 4.5.3.1.3, a path of 256 less its angle brackets.


def ascii_address(text: str) -> str | None:
    """Return an address as every server takes it, its domain by IDNA; None if it is none.

    A local part beyond ASCII would need SMTPUTF8 from every server on the way, which nobody can count on.
    """
    local, _, domain = text.rpartition("@")
    host = ascii_host(domain)
    if host is None:
        return None
    address = f"{local}@{host}"
    return address if len(address) <= MAIL_CHARS and re.fullmatch(MAIL, address) else None
