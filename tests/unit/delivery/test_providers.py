"""Every provider beside the first four against its stand-in: sent, refused, answered.

One delivery of 200 rows a channel goes the whole way: token, signature, encryption, wire, ledger.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from angelia.delivery.channels import PROVIDERS
from angelia.delivery.manifest import sample_plan
from angelia.lake import Lake
from tests.unit.delivery import test_channels
from tests.unit.delivery.given import DS
from tests.unit.delivery.test_channels import reasons, run

UNSEEN = """
  - {match: {token_prefix: "%s", max: 1}, then: {reset: before}}
  - {match: {token_prefix: "%s"}, then: {reset: after}}
"""
RULE = """
  - {match: {token_prefix: "%s"}, then: {status: %d, error: "%s"}}"""
BUSY = """
  - {match: {token_prefix: "%s", max: 2}, then: {status: %d, error: "%s"}}"""


def rules(*lines: str) -> str:
    return "rules:" + "".join(lines)


# Whose messages carry no id of ours.
NAMELESS = ("wecom", "dingtalk", "wechat_subscribe", "wechat_template", "qq_bot", "sns_sms")
# Channel -> rules, then the ledger's reasons of the rows that were not accepted.
FAULTS = {
    "webpush": (
        rules(
            RULE % ("r003", 410, ""),
            RULE % ("r004", 413, ""),
            BUSY % ("r005", 429, ""),
            BUSY % ("r006", 503, ""),
        ),
        {"gone:HTTP_410": 1, "HTTP_413": 1},
    ),
    "email_ses": (
        rules(
            RULE % ("r003@", 400, "MessageRejected"),
            RULE % ("r004@", 400, "BadRequestException"),
            BUSY % ("r005@", 429, "TooManyRequestsException"),
            BUSY % ("r006@", 503, ""),
        ),
        {"MessageRejected": 1, "BadRequestException": 1},
    ),
    "sms": (
        rules(
            RULE % ("+491510000003", 400, "21610"),
            RULE % ("+491510000004", 400, "21612"),
            BUSY % ("+491510000005", 429, "20429"),
            BUSY % ("+491510000006", 503, "20500"),
        ),
        {"opted_out:21610": 1, "21612": 1},
    ),
    "email_mandrill": (
        rules(
            RULE % ("r003@", 200, "hard-bounce"),
            RULE % ("r004@", 200, "unsub"),
            BUSY % ("r005@", 429, ""),
            BUSY % ("r006@", 500, "GeneralError"),
        ),
        {"gone:hard-bounce": 1, "opted_out:unsub": 1},
    ),
    "sns_push": (
        rules(
            RULE % ("r003", 400, "EndpointDisabled"),
            RULE % ("r004", 400, "InvalidParameter"),
            BUSY % ("r005", 429, "Throttled"),
            BUSY % ("r006", 500, "InternalError"),
        ),
        {"gone:EndpointDisabled": 1, "InvalidParameter": 1},
    ),
    "sns_sms": (
        rules(
            RULE % ("+491510000003", 400, "OptedOut"),
            RULE % ("+491510000004", 400, "InvalidParameter"),
            BUSY % ("+491510000005", 400, "Throttling"),
            BUSY % ("+491510000006", 503, ""),
        ),
        {"opted_out:OptedOut": 1, "InvalidParameter": 1},
    ),
    "huawei": (
        rules(
            RULE % ("r003", 200, "80300007"),
            RULE % ("r004", 200, "80100000.tokenFormatError"),
            BUSY % ("r005", 503, ""),
            BUSY % ("r006", 502, ""),
            BUSY % ("r009", 401, "80200003"),
        ),
        {"gone:80300007": 1, "80100000.tokenFormatError": 1},
    ),
    "xiaomi": (
        rules(
            RULE % ("r003", 200, "bad_regids"),
            RULE % ("r004", 200, "10017"),
            BUSY % ("r005", 200, "10027"),
            BUSY % ("r006", 200, "10002"),
        ),
        {"gone:bad_regids": 1, "10017": 1},
    ),
    "oppo": (
        rules(
            RULE % ("r003", 200, "10000"),
            RULE % ("r004", 200, "41"),
            BUSY % ("r005", 200, "55"),
            BUSY % ("r006", 200, "-1"),
            BUSY % ("r009", 200, "11"),
        ),
        {"gone:10000": 1, "41": 1},
    ),
    "vivo": (
        rules(
            RULE % ("r003", 200, "10302.2"),
            RULE % ("r004", 200, "10104"),
            BUSY % ("r005", 200, "10072"),
            BUSY % ("r006", 502, ""),
            BUSY % ("r009", 200, "10000"),
        ),
        {"gone:invalidUser.2": 1, "10104": 1},
    ),
    "honor": (
        rules(
            RULE % ("r003", 200, "expireTokens"),
            RULE % ("r004", 200, "failTokens"),
            BUSY % ("r005", 429, ""),
            BUSY % ("r006", 503, ""),
            BUSY % ("r009", 401, ""),
        ),
        {"gone:expireTokens": 1, "failTokens": 1},
    ),
    "meizu": (
        rules(
            RULE % ("r003", 200, "value.110002"),
            RULE % ("r004", 200, "value.520"),
            BUSY % ("r005", 200, "110010"),
            BUSY % ("r006", 200, "1003"),
        ),
        {"gone:value.110002": 1, "value.520": 1},
    ),
    "wechat_subscribe": (
        rules(
            RULE % ("r003", 200, "43101"),
            RULE % ("r004", 200, "40003"),
            BUSY % ("r005", 200, "45011"),
            BUSY % ("r006", 200, "-1"),
            BUSY % ("r009", 200, "42001"),
        ),
        {"opted_out:43101": 1, "gone:40003": 1},
    ),
    "wechat_template": (
        rules(
            RULE % ("r003", 200, "43004"),
            RULE % ("r004", 200, "47003"),
            BUSY % ("r005", 429, ""),
            BUSY % ("r006", 502, ""),
            BUSY % ("r009", 200, "40001"),
        ),
        {"opted_out:43004": 1, "47003": 1},
    ),
    "qq_bot": (
        rules(
            RULE % ("r003", 400, "22009"),
            RULE % ("r004", 400, "304003"),
            BUSY % ("r005", 429, ""),
            BUSY % ("r006", 500, "304016"),
            BUSY % ("r009", 401, "11243"),
        ),
        {"quota:22009": 1, "304003": 1},
    ),
    "wecom": (
        rules(
            RULE % ("r003", 200, "81013"),
            RULE % ("r004", 200, "40003"),
            BUSY % ("r005", 200, "45009"),
            BUSY % ("r006", 200, "-1"),
            BUSY % ("r009", 200, "42001"),
        ),
        {"81013": 1, "40003": 1},
    ),
    "dingtalk": (
        rules(
            RULE % ("r003", 200, "33012"),
            RULE % ("r004", 200, "1430002"),
            BUSY % ("r005", 200, "143103"),
            BUSY % ("r006", 200, "-1"),
            BUSY % ("r009", 200, "42001"),
        ),
        {"33012": 1, "1430002": 1},
    ),
}


@pytest.mark.parametrize("channel", sorted(FAULTS))
def test_each_message_once_and_each_refusal_by_its_code(
    channel: str, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, refused = FAULTS[channel]
    prefix = "+49151000000%d" if channel in ("sms", "sns_sms") else "r00%d"
    result, phones = run(lake, tmp_path, channel, monkeypatch, script + UNSEEN % (prefix % 7, prefix % 8))
    # Where the connection breaks within an exchange of HTTP/1.1, nobody knows whether the message was taken.
    assert reasons(lake) == {None: 196, "no_answer": 2, **refused}
    assert result.delivered == {"accepted": 196, "rejected": 2, "ambiguous": 2}
    assert phones.doubled == 0
    assert len(phones.received) == 197, "the answer of one was lost, the message was not"
    # An address that is gone is closed, whoever opted out is out of the channel at any address.
    closed = lake.read_log("suppressions").to_pylist()
    words = {"gone": "gone:", "unsubscribed": "opted_out:"}
    expected = sorted(name for reason in refused for name, begin in words.items() if reason.startswith(begin))
    assert sorted(entry["reason"] for entry in closed) == expected
    assert all((entry["address_hash"] is None) == (entry["reason"] == "unsubscribed") for entry in closed)
    if channel not in NAMELESS:
        manifest = lake.read(lake.require("dispatch_manifest", ds=DS), ["dispatch_id"])
        assert set(phones.received) <= set(manifest["dispatch_id"].to_pylist())


def test_every_adapter_is_sent_by_against_its_stand_in() -> None:
    tried = {sample_plan.PROVIDERS[channel] for channel in (*FAULTS, *test_channels.FAULTS)}
    # The inbox's other side is `angelia receive` itself: tests/unit/delivery/channels/test_inbox.py.
    assert tried == set(PROVIDERS) - {"inbox"}


def test_a_batch_has_an_outcome_for_each_device(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_batches(names: dict[str, Any]) -> None:
        path = Path(names["oppo_credentials"])
        path.write_text(json.dumps({**json.loads(path.read_text()), "per_request": 50}))

    script = rules(RULE % ("r003", 200, "10000"), RULE % ("r004", 200, "41"), BUSY % ("r005", 200, "-1"))
    result, phones = run(lake, tmp_path, "oppo", monkeypatch, script, prepare=in_batches)
    assert reasons(lake) == {None: 198, "gone:10000": 1, "41": 1}
    assert result.delivered == {"accepted": 198, "rejected": 2}
    assert (phones.doubled, len(phones.received)) == (0, 198)
    # 200 rows by 50, and two more tries of the one that was busy.
    assert 6 <= phones.n_requests <= 20
