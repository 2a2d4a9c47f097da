"""One address in its several spellings: internationalised hosts, case, blanks.

Works on texts and Arrow columns; reads and writes nothing. Channels differ in what they ignore, and a
channel's id says which rules hold: `email`, `sms`, `webhook`, or one of these and a name of its own, as
`email_two` (docs/adr/0018-a-channel-is-a-name-of-the-catalog.md). Mail systems
ignore case in practice (the domain's by RFC 5321 2.3.11, the mailbox's by custom); phone numbers have blanks,
dashes, dots and brackets for the eye only; hosts of mail and webhooks may be written in Unicode or as DNS has
them (IDNA 2008 with the mapping of UTS 46); of tokens, and of the rest of a URL, every character counts.
"""

from __future__ import annotations

import ipaddress
import re

import idna
import pyarrow as pa
import pyarrow.compute as pc

HOST_CHARS = 253
WITH_HOST = ("email", "webhook")  # forms of address that name a host
_URL = re.compile(r"((?i:https)://)([^/?#@\\\s:\[\]]+)(:[0-9]{1,5})?([/?#][\x21-\x7e]*)?")
_EYE_ONLY = r"[\s().\-]"


def ascii_host(host: str) -> str | None:
    """Return a host as DNS has it; None if it is beyond ASCII and no name."""
    if host.isascii():
        return host
    if len(host) > HOST_CHARS:
        return None
    try:
        return idna.encode(host, uts46=True, std3_rules=True).decode("ascii")
    except idna.IDNAError:
        return None


def ascii_url(text: str) -> str | None:
    """Return a URL with its host as DNS has it; None if the host is no name.

    None, too, if something else in it is not ASCII. A host that comes to an address in digits is no name:
    only its one canonical form is an address.
    """
    if text.isascii():
        return text
    match = _URL.fullmatch(text)
    host = ascii_host(match[2]) if match else None
    if match is None or host is None or _is_number(host):
        return None
    return "".join((match[1], host, match[3] or "", match[4] or ""))


def unicode_host(host: str) -> str:
    """Return a host as people write it; as it is, where it is not DNS's form of one."""
    try:
        return idna.decode(host) if "xn--" in host.lower() else host
    except idna.IDNAError:
        return host


def form_of(channel: str) -> str:
    """Return whose rules a channel's addresses follow: `email_two` is written to as `email` is."""
    return channel.partition("_")[0]


def forms_of(channels: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return `form_of` of every row."""
    return pc.replace_substring_regex(channels, "_.*", "")


def ascii_form(channel: str, address: str) -> str:
    """Return an address with its host as DNS has it; as it is where it has no such host."""
    if address.isascii() or form_of(channel) not in WITH_HOST:
        return address
    if form_of(channel) == "webhook":
        return ascii_url(address.strip()) or address
    mailbox, at, domain = address.strip().rpartition("@")
    host = ascii_host(domain) if at else None
    return address if host is None else f"{mailbox}{at}{host}"


def ascii_forms(table: pa.Table) -> pa.Table:
    """Return a table of endpoints (channel, address, …) with every host as DNS has it."""
    address = table["address"]
    if not pa.types.is_string(address.type):  # of a broken source: its gate says so
        return table
    odd = pc.and_(
        pc.invert(pc.string_is_ascii(address)),
        pc.is_in(forms_of(table["channel"]), pa.array(WITH_HOST, pa.string())),
    )
    odd = pc.fill_null(odd, False)
    if not pc.any(odd).as_py():
        return table
    forms = [
        ascii_form(*pair)
        for pair in zip(
            *(table[name].filter(odd).to_pylist() for name in ("channel", "address")), strict=True
        )
    ]
    whole = pc.replace_with_mask(
        address.combine_chunks(), odd.combine_chunks(), pa.array(forms, address.type)
    )
    return table.set_column(table.schema.get_field_index("address"), "address", whole)


def same_address(channel: str, address: str) -> str:
    """Return a form that is equal for two spellings of one address."""
    bare = ascii_form(channel, address).strip()
    if form_of(channel) == "email":
        return bare.lower()
    return re.sub(_EYE_ONLY, "", bare) if form_of(channel) == "sms" else bare


def same_addresses(table: pa.Table) -> pa.ChunkedArray:
    """Return `same_address` of every row of a table of endpoints."""
    bare = pc.utf8_trim_whitespace(ascii_forms(table)["address"])
    of = forms_of(table["channel"])
    phones = pc.replace_substring_regex(bare, _EYE_ONLY, "")
    return pc.if_else(
        pc.equal(of, "email"), pc.utf8_lower(bare), pc.if_else(pc.equal(of, "sms"), phones, bare)
    )


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host.rstrip("."))
    except ValueError:
        return False
    return True
