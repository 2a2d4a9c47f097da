"""Impossible addresses end at import, each counted under its reason.

Possible ones are kept as they are.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from angelia.commands.import_ import run_import
from angelia.config import load_settings
from angelia.importing.addresses import PLACEHOLDERS
from angelia.lake import Lake

DS = "2026-11-14"
APNS = "740f4707bebcf74f9b7c25d48e3358945f6aa01da5ddb387462c7eaf61bb78ad"
FCM = "dGVzdA1:APA91bHun4MxP5egoKMwt2KZFBaFUH-1RYqx_" + "x" * 100


def imported(tmp_path: Path, lake: Lake, channel: str, *addresses: str) -> tuple[list[str], dict[str, int]]:
    """Import addresses of one channel.

    Returns those that are kept, and the reasons of the others.
    """
    columns = {
        "user_id": {"template": "u{n}"},
        "channel": "channel",
        "address": "address",
        "registered_ts": "at",
        "is_active": {"constant": True},
    }
    outputs = [{"dataset": "user_endpoints", "input": "people", "columns": columns}]
    inputs = {"people": {"match": "people*", "delimiter": "\t", "quote": ""}}
    document, file = tmp_path / "mapping.yaml", tmp_path / "people.tsv"
    document.write_text(json.dumps({"name": "m", "inputs": inputs, "outputs": outputs}))
    good = f"0\tapns\t{APNS}\t2026-11-01\n"  # so that an output of bad rows has one
    rows = "".join(f"{n}\t{channel}\t{address}\t2026-11-01\n" for n, address in enumerate(addresses, 1))
    file.write_text("n\tchannel\taddress\tat\n" + good + rows)
    result = run_import(load_settings(), document, [file], ds=DS, max_reject_pct=100.0)
    rows_kept = lake.read(lake.require("user_endpoints", ds=DS)).sort_by("user_id").to_pylist()
    return [row["address"] for row in rows_kept if row["user_id"] != "u0"], result["outputs"][0]["rejected"]


@pytest.mark.parametrize(
    ("channel", "address", "kept"),
    [
        ("fcm", FCM, FCM),
        ("fcm", f" {FCM}\u00a0", FCM),
        ("fcm", "sandbox-u7|a@b", "sandbox-u7|a@b"),
        ("fcm", "f0123456789abcdef:APA910123456789abcdef", "f0123456789abcdef:APA910123456789abcdef"),
        ("apns", APNS, APNS),
        ("apns", "0123456789ABCDEF0123456789abcdef", "0123456789ABCDEF0123456789abcdef"),
        ("email", "anna.b+news@mail.example", "anna.b+news@mail.example"),
        ("email", " anna@mail.example ", "anna@mail.example"),
        ("email", "anna@m\u00fcller.example", "anna@xn--mller-kva.example"),
        ("email", "anna@\u4f8b\u5b50.example", "anna@xn--fsqu00a.example"),
        ("email", "o'neil@xn--mller-kva.example", "o'neil@xn--mller-kva.example"),
        ("sms", "+4917112345678", "+4917112345678"),
        ("sms", "+49 (171) 123-456.78", "+4917112345678"),
        ("sms_eu", "+49 (171) 123-456.78", "+4917112345678"),
        ("webhook", "https://hooks.example/a?b=c", "https://hooks.example/a?b=c"),
        ("webhook", "https://m\u00fcller.example:8443/a", "https://xn--mller-kva.example:8443/a"),
        ("webpush", "https://push.example/send/abc", "https://push.example/send/abc"),
    ],
)
def test_a_possible_address_is_kept(
    tmp_path: Path, lake: Lake, settings_home: Path, channel: str, address: str, kept: str
) -> None:
    assert imported(tmp_path, lake, channel, address) == ([kept], {})


@pytest.mark.parametrize(
    ("channel", "address", "reason"),
    [
        ("fcm", "<token>", "a placeholder"),
        ("fcm", "{{fcm_token}}", "a placeholder"),
        ("fcm", "#N/A", "a placeholder"),
        ("fcm", " None ", "a placeholder"),
        ("fcm", "   ", "blank"),
        ("fcm", "a", "no fcm token"),
        ("fcm", "two tokens", "no fcm token"),
        ("fcm", "anna@mail.example", "no fcm token"),
        ("apns", FCM, "no apns token"),
        ("apns", "<740f4707 bebcf74f>", "a placeholder"),
        ("apns", "740f4707", "no apns token"),
        ("email", "anna", "no mail address"),
        ("email", "anna@mail", "no mail address"),
        ("email", "Anna <anna@mail.example>", "no mail address"),
        ("email", "an na@mail.example", "no mail address"),
        ("email", "j\u00f6rg@mail.example", "no mail address"),
        ("email", "anna@-\u00fc.example", "no mail address"),
        ("email", "anna@" + "m" * 250 + ".example", "no mail address"),
        ("email", "anna@mail.example,bo@mail.example", "several mailboxes"),
        ("email", "anna@mail.example; bo@mail.example", "several mailboxes"),
        ("email", "anna@mail.example bo@mail.example", "several mailboxes"),
        ("email_two", "anna@mail.example,bo@mail.example", "several mailboxes"),
        ("sms", "0171 12345678", "no phone number of the form +4917112345678"),
        ("sms", "+0171123456", "no phone number of the form +4917112345678"),
        ("sms", "+49171", "no phone number of the form +4917112345678"),
        ("sms", "+4917112345678901", "no phone number of the form +4917112345678"),
        ("sms", "4.91711E+12", "no phone number of the form +4917112345678"),
        ("webhook", "http://hooks.example/a", "no https URL"),
        ("webhook", "hooks.example", "no https URL"),
        ("webhook", "https://\u2460\u2461\u2466.0.0.1/", "no https URL"),
        ("webpush", "null", "a placeholder"),
    ],
)
def test_an_impossible_address_is_counted(
    tmp_path: Path, lake: Lake, settings_home: Path, channel: str, address: str, reason: str
) -> None:
    assert imported(tmp_path, lake, channel, address) == ([], {f"address: {reason}": 1})


@pytest.mark.parametrize("channel", ["fcm", "apns", "webpush", "sms", "email", "webhook"])
def test_no_placeholder_is_an_address(tmp_path: Path, lake: Lake, settings_home: Path, channel: str) -> None:
    words = [*PLACEHOLDERS, *(word.upper() for word in PLACEHOLDERS), "<address>", "[email]"]
    kept, reasons = imported(tmp_path, lake, channel, *words)
    assert kept == []
    assert sum(reasons.values()) == len(words)
