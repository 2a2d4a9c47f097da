"""Addresses that no provider can deliver to.

Placeholders, slipped columns, two mailboxes in one cell. Works on a mapped table of endpoints: takes blanks
off, and what phone numbers have for the eye only, then gives each impossible address its reason. The shapes
are loose, since tokens have no published grammar: they tell `null` from a token, not a living token from a
dead one.
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

# What exports write where there is no address; GCM itself wrote BLACKLISTED.
PLACEHOLDERS = (
    "null", "(null)", "none", "nil", "nan", "n/a", "na", "n.a.", "undefined", "unknown", "unset", "empty",
    "missing", "invalid", "token", "address", "email", "false", "true", "blacklisted", "-", "--", "?", ".",
)  # fmt: skip
_BRACKETS = r"<[^>]*>|\[[^\]]*\]|\{\{.*\}\}|\$\{.*\}|%[A-Za-z_]+%|#[A-Z/]+[!?]?"  # <token>, {{token}}, #N/A
SHAPES = {
    "fcm": (FCM_TOKEN, "no fcm token"),
    "apns": (APNS_TOKEN, "no apns token"),
    "sms": (PHONE, "no phone number of the form +4917112345678"),
    "email": (MAIL, "no mail address"),
}


# Channels whose shape takes more than a pattern, and which rows of theirs need the look.
_JUDGED: Mapping[str, tuple[str, Callable[[str], object], str]] = {
    "email": (r"NOT regexp_full_match(address, '[\x00-\x7f]*')", ascii_address, "no mail address"),
    "webhook": ("true", parse_url, "no https URL"),
}


def refuse_impossible(connection: duckdb.DuckDBPyConnection, output: Output, table: str) -> None:
    """Reject the rows of a mapped table that hold no possible address of their channel."""
    if output.dataset != "user_endpoints":
        return
    connection.execute(
        f"UPDATE {table} SET address = CASE WHEN channel = 'sms' "
        r"THEN regexp_replace(address, '[\s().\-]', '', 'g') ELSE trim(address, $blanks) END",
        {"blanks": " \t\r\n\u00a0\ufeff"},
    )
    words = ", ".join(literal(word) for word in PLACEHOLDERS)
    cases = [
        ("address = ''", "blank"),
        (f"lower(address) IN ({words}) OR regexp_full_match(address, {literal(_BRACKETS)})", "a placeholder"),
        (
            "channel = 'email' AND regexp_matches(address, '[,;]|@.*@') AND contains(address, '@')",
            "several mailboxes",
        ),
    ]
    for channel, (pattern, reason) in SHAPES.items():
        odd = f"channel = {literal(channel)} AND NOT regexp_full_match(address, {literal(pattern)})"
        if channel in _JUDGED:
            odd += f" AND NOT ({_JUDGED[channel][0]})"
        cases.append((odd, reason))
    cases.append((f"channel = 'email' AND length(address) > {MAIL_CHARS}", "no mail address"))
    judged = " ".join(f"WHEN {odd} THEN {literal(f'address: {reason}')}" for odd, reason in cases)
    considered = "__filtered IS NULL AND __rejected IS NULL AND address IS NOT NULL"
    connection.execute(f"UPDATE {table} SET __rejected = CASE {judged} END WHERE {considered}")
    for channel, (needs, is_possible, reason) in _JUDGED.items():
        of_channel = f"channel = {literal(channel)} AND {considered} AND {needs}"
        addresses = connection.sql(f"SELECT DISTINCT address FROM {table} WHERE {of_channel}").fetchall()
        impossible = [address for (address,) in addresses if not is_possible(address)]
        if impossible:
            connection.register("impossible", pa.table({"address": impossible}))
            connection.execute(
                f"UPDATE {table} SET __rejected = {literal(f'address: {reason}')} "
                f"WHERE {of_channel} AND address IN (SELECT address FROM impossible)"
            )
            connection.unregister("impossible")
