"""Spellings of one address: hosts in Unicode, case, blanks."""

from __future__ import annotations

import hashlib
import hmac

import pyarrow as pa
import pytest

from angelia.users.addresses import ascii_forms, same_address, same_addresses
from angelia.users.suppressions import address_hash, address_hashes

SAME = [
    ("email", "Jo@B\u00dcCHER.example", "jo@xn--bcher-kva.example"),
    ("email", " jo@bu\u0308cher.example ", "jo@xn--bcher-kva.example"),
    ("email", "jo@XN--BCHER-KVA.example", "jo@xn--bcher-kva.example"),
    ("email", "jo@stra\u00dfe.example", "jo@xn--strae-oqa.example"),
    ("email", "b\u00fccher", "b\u00fccher"),
    ("email", "jo@-\u00fc.example", "jo@-\u00fc.example"),  # no name: as it is
    ("email_two", "Jo@B\u00dcCHER.example", "jo@xn--bcher-kva.example"),
    ("sms_eu", "+49 (170) 12-34", "+491701234"),
    ("webhook_2", "https://b\u00fccher.example/A", "https://xn--bcher-kva.example/A"),
    ("emails", "Jo@b.example", "Jo@b.example"),  # another word
    ("wecom", "Jo.B", "Jo.B"),  # another member than JoB
    ("sms", "+49 (170) 12-34", "+491701234"),
    ("webhook", "https://b\u00fccher.example/A", "https://xn--bcher-kva.example/A"),
    ("webhook", "https://h.example/\u00e4", "https://h.example/\u00e4"),
    ("fcm", " T\u00fc ", "T\u00fc"),
]


@pytest.mark.parametrize(("channel", "address", "same"), SAME)
def test_two_spellings_have_one_form(channel: str, address: str, same: str) -> None:
    assert same_address(channel, address) == same
    assert same_address(channel, same) == same
    table = pa.table({"channel": [channel], "address": [address]})
    assert same_addresses(table).to_pylist() == [same]


def test_a_column_without_hosts_in_unicode_is_the_same_object() -> None:
    table = pa.table({"channel": ["email", "fcm", None], "address": ["a@b.example", "t\u00fc", None]})
    assert ascii_forms(table) is table
    broken = pa.table({"channel": ["email"], "address": [1]})
    assert ascii_forms(broken) is broken, "its gate says so"


def test_a_hash_names_an_address_in_every_spelling() -> None:
    key = b"k"
    spellings = ["Jo@B\u00fccher.example", "jo@xn--bcher-kva.example", " JO@XN--bcher-kva.example"]
    assert len({address_hash(key, "email", text) for text in spellings}) == 1
    assert address_hash(key, "email", "jo@buecher.example") != address_hash(key, "email", spellings[0])
    assert address_hash(key, "sms", "+49 170 1") == address_hash(key, "sms", "+491701")
    assert address_hash(key, "fcm", "t") != address_hash(key, "fcm", "T")


@pytest.mark.parametrize("spelling", ["Jo@b\u00fccher.example", "Jo@xn--bcher-kva.example"])
def test_what_an_older_version_hashed_still_counts(spelling: str) -> None:
    old = hmac.new(b"k", f"email\x1f{spelling}".encode(), hashlib.sha256).hexdigest()[:32]
    assert old in address_hashes(b"k", "email", "Jo@xn--bcher-kva.example")
