"""Addresses that no provider can deliver to.

Placeholders, slipped columns, two mailboxes in one cell. Works on a mapped table of endpoints: takes blanks
off, and what phone numbers have for the eye only, writes hosts as DNS has them, and gives each impossible
address its reason. The shapes are loose, since tokens have no published grammar: they tell `null` from a
token, not a living token from a dead one.
"""
# ruff: noqa: S608 - statements are made of names and patterns of our own; every value is a parameter.

from __future__ import annotations

from collections.abc import Callable, Mapping

import duckdb
import pyarrow as pa

from angelia.contracts.duckdb import literal
from angelia.importing.mapping import Output
from angelia.transport.addresses import APNS_TOKEN, FCM_TOKEN, MAIL, MAIL_CHARS, PHONE, ascii_address
from angelia.transport.safe_http import parse_url
from angelia.users.addresses import ascii_url

# What exports write where there is no address; GCM itself wrote BLACKLISTED.
PLACEHOLDERS = (
    "null", "(null)", "none", "nil", "nan", "n/a", "na", "n.a.", "undefined", "unknown", "unset", "empty",
    "missing", "invalid", "token", "address", "email", "false", "true", "blacklisted", "-", "--", "?", ".",
)  # fmt: skip
_BRACKETS = r"<[^>]*>|\[[^\]]*\]|\{\{.*\}\}|\$\{.*\}|%[A-Za-z_]+%|#[A-Z/]+[!?]?"  # <token>, {{token}}, #N/A
_FORM = "split_part(channel, '_', 1)"  # as `angelia.users.addresses.form_of`
SHAPES = {
    "fcm": (FCM_TOKEN, "no fcm token"),
    "apns": (APNS_TOKEN, "no apns token"),
    "sms": (PHONE, "no phone number of the form +4917112345678"),
    "email": (MAIL, "no mail address"),
}


def _https_url(text: str) -> str | None:
    return None if parse_url(text) is None else ascii_url(text)


# Channels whose shape takes more than a pattern, which rows of theirs need the look, and what makes of an
# address the one that is kept: hosts as DNS has them, so that one address has one spelling from here on.
_JUDGED: Mapping[str, tuple[str, Callable[[str], str | None], str]] = {
    "email": (r"NOT regexp_full_match(address, '[\x00-\x7f]*')", ascii_address, "no mail address"),
    "webhook": ("true", _https_url, "no https URL"),
}


def refuse_impossible(connection: duckdb.DuckDBPyConnection, output: Output, table: str) -> None:
    """Reject the rows of a mapped table that hold no possible address of their channel."""
    if output.dataset != "user_endpoints":
        return
    connection.execute(
        f"UPDATE {table} SET address = CASE WHEN {_FORM} = 'sms' "
        r"THEN regexp_replace(address, '[\s().\-]', '', 'g') ELSE trim(address, $blanks) END",
        {"blanks": " \t\r\n\u00a0\ufeff"},
    )
    words = ", ".join(literal(word) for word in PLACEHOLDERS)
    cases = [
        ("address = ''", "blank"),
        (f"lower(address) IN ({words}) OR regexp_full_match(address, {literal(_BRACKETS)})", "a placeholder"),
        (
            f"{_FORM} = 'email' AND regexp_matches(address, '[,;]|@.*@') AND contains(address, '@')",
            "several mailboxes",
        ),
    ]
    for channel, (pattern, reason) in SHAPES.items():
        odd = f"{_FORM} = {literal(channel)} AND NOT regexp_full_match(address, {literal(pattern)})"
        # The pattern knows ASCII only; what is judged below may be a host in another script.
        if channel in _JUDGED:
            odd += f" AND NOT ({_JUDGED[channel][0]})"
        cases.append((odd, reason))
    cases.append((f"{_FORM} = 'email' AND length(address) > {MAIL_CHARS}", "no mail address"))
    judged = " ".join(f"WHEN {odd} THEN {literal(f'address: {reason}')}" for odd, reason in cases)
    considered = "__filtered IS NULL AND __rejected IS NULL AND address IS NOT NULL"
    connection.execute(f"UPDATE {table} SET __rejected = CASE {judged} END WHERE {considered}")
    for channel, (needs, spelt, reason) in _JUDGED.items():
        of_channel = f"{_FORM} = {literal(channel)} AND {considered} AND {needs}"
        # Python spells hosts, so only the few that the pattern could not judge leave the engine.
        addresses = connection.sql(f"SELECT DISTINCT address FROM {table} WHERE {of_channel}").fetchall()
        forms = [(address, spelt(address)) for (address,) in addresses]
        changed = [(address, form) for address, form in forms if form != address]
        if changed:
            named = pa.table(
                dict(zip(("old", "form"), map(pa.array, zip(*changed, strict=True)), strict=True))
            )
            connection.register(
                "spellings", named.cast(pa.schema([("old", pa.string()), ("form", pa.string())]))
            )
            connection.execute(
                f"UPDATE {table} SET address = coalesce(form, address), "
                f"__rejected = CASE WHEN form IS NULL THEN {literal(f'address: {reason}')} END "
                f"FROM spellings WHERE {of_channel} AND address = old"
            )
            connection.unregister("spellings")
