"""Lists of tokens: what rows share goes out once, and each row has its own outcome."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from angelia.contracts.ids import list_id, listed_id
from angelia.delivery.channels import huawei, xiaomi
from angelia.delivery.channels.token_lists import (
    HUAWEI_MOST,
    XIAOMI_MOST,
    HuaweiLists,
    XiaomiLists,
    by_lists,
    naming,
)
from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.transport.wire import Answer, Request
from tests.golden.wire import MESSAGES, assert_golden, form
from tests.unit.delivery.channels.given import opened
from tests.unit.delivery.given import DS, MESSAGE
from tests.unit.delivery.test_channels import reasons, run
from tests.unit.delivery.test_providers import BUSY, RULE, rules

SHARED = "l-" + "5" * 32
HUAWEI = huawei.HuaweiAdapter("12345", receipt_id="RCP1", by_list=True)
XIAOMI = xiaomi.XiaomiAdapter("example.app", callback="https://b.example/r?key=k", by_list=True)
ADAPTERS: dict[str, Any] = {"huawei": (HUAWEI, HuaweiLists()), "xiaomi": (XIAOMI, XiaomiLists())}
KEY_FILE = {"project_id": "1", "key_id": "k", "private_key": "p", "sub_account": "s"}


def requests(channel: str, *tokens: str) -> list[Request]:
    adapter = ADAPTERS[channel][0]
    rows = (
        MESSAGE._replace(address=token, dispatch_id=f"{number:032x}", list_id=SHARED)
        for number, token in enumerate(tokens)
    )
    return [adapter.build_request(row) for row in rows]


def verdicts(channel: str, document: object, *tokens: str, status: int = 200) -> list[Any]:
    adapter, lists = ADAPTERS[channel]
    answers = lists.split(Answer(status, json.dumps(document).encode()), requests(channel, *tokens))
    return [(verdict.kind, verdict.reason) for verdict in map(adapter.classify, answers)]


def illegal(code: str, n_failed: int | None, **named: list[str]) -> dict[str, str]:
    words: dict[str, Any] = {"illegalTokens": named, "failure": n_failed}
    return {
        "code": code,
        "msg": json.dumps({k: v for k, v in words.items() if v is not None}),
        "requestId": "r",
    }


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("channel", ADAPTERS)
def test_requests_equal_their_golden_files(channel: str, name: str) -> None:
    class Listed:
        def build_request(self, message: Any) -> Request:
            row = message._replace(list_id=SHARED)
            adapter, lists = ADAPTERS[channel]
            return lists.join([adapter.build_request(row._replace(address=a)) for a in ("token-1", "t+2")])

        classify = ADAPTERS[channel][0].classify

    read = form if channel == "xiaomi" else json.loads
    assert_golden(f"{channel}_list", name, Listed(), read=read)


@pytest.mark.parametrize("channel", ADAPTERS)
def test_only_rows_that_say_the_same_share_a_request(channel: str) -> None:
    adapter, lists = ADAPTERS[channel]
    first, second = requests(channel, 'a"b', "c+d")
    assert lists.key(first) == lists.key(second) is not None
    other = MESSAGE._replace(list_id=SHARED, title="Another")
    assert lists.key(adapter.build_request(other)) not in (lists.key(first), None)
    alone = adapter.build_request(MESSAGE)
    assert lists.key(alone) is None, "what has a dispatch id waits for nobody"
    assert MESSAGE.dispatch_id.encode() in alone.body
    assert b"list_id" not in alone.body


def test_a_token_that_two_rows_have_stands_once() -> None:
    joined = HuaweiLists().join(requests("huawei", 'a"b', "c", 'a"b'))
    assert json.loads(joined.body)["target"]["token"] == ['a"b', "c"]
    joined = XiaomiLists().join(requests("xiaomi", "a+b", "c", "a+b"))
    assert parse_qs(joined.body.decode())["registration_id"] == ["a+b,c"]


def test_huaweis_partial_failures_are_each_tokens_own() -> None:
    answer = illegal("80100000", 3, tokenFormatError=["a", "b"], noRight=["d"])
    assert verdicts("huawei", answer, "a", "b", "c", "d") == [
        ("rejected", "80100000.tokenFormatError"),
        ("rejected", "80100000.tokenFormatError"),
        ("accepted", None),
        ("halt", "80100000.noRight"),
    ]
    every = illegal("80300007", 1, noRight=["a"])
    assert verdicts("huawei", every, "a", "b") == [("halt", "80300007.noRight"), ("gone", "80300007")]


@pytest.mark.parametrize(
    "answer",
    [
        illegal("80100000", 2, tokenFormatError=["a"]),
        illegal("80100000", 2, tokenFormatError=["a", "z"]),
        {"code": "80100000", "msg": "Some tokens failed."},
        {"code": "80100000", "msg": "[1]"},
    ],
)
def test_a_failure_that_is_not_named_is_nobodys_for_certain(answer: Any) -> None:
    assert verdicts("huawei", answer, "a", "b")[1] == ("ambiguous", "answer_without_code")


def test_xiaomis_bad_ids_are_named_among_the_good() -> None:
    answer = {"code": 0, "data": {"id": "m1", "bad_regids": "a, c"}}
    gone = ("gone", "bad_regids")
    assert verdicts("xiaomi", answer, "a", "b+1", "c") == [gone, ("accepted", None), gone]
    assert verdicts("xiaomi", {**answer, "code": 20301}, "a", "b") == [gone, ("rejected", "20301")]


@pytest.mark.parametrize(
    ("channel", "status", "answer", "kind"),
    [
        ("huawei", 200, {"code": "80000000", "requestId": "r"}, "accepted"),
        ("huawei", 503, None, "throttled"),
        ("huawei", 200, {"code": "80300010"}, "rejected"),
        ("huawei", 200, {}, "ambiguous"),
        ("xiaomi", 200, {"code": 0, "data": {"id": "m"}}, "accepted"),
        ("xiaomi", 200, {"code": 10034}, "spent"),
        ("xiaomi", 500, {"data": {"bad_regids": "a"}}, "gone"),
    ],
)
def test_any_other_answer_is_everybodys(channel: str, status: int, answer: Any, kind: str) -> None:
    assert [word for word, _ in verdicts(channel, answer, "a", "b", status=status)] == [kind, kind]


def test_lists_are_sent_where_the_account_says_so(tmp_path: Path) -> None:
    account = {"app_secret": "s", "package_name": "p"}
    for provider, most, own in (("huawei", HUAWEI_MOST, KEY_FILE), ("xiaomi", XIAOMI_MOST, account)):
        assert not opened(tmp_path, provider, own).sends_lists
        listing = opened(tmp_path, provider, own | {"per_request": most})
        assert (listing.sends_lists, listing.concurrency) == (True, 4 * most)
        for wrong in (0, most + 1, "many", True):
            with pytest.raises(InvalidInput, match="per_request of channel second is out of range"):
                opened(tmp_path, provider, own | {"per_request": wrong})
    assert by_lists("https://push.example", HuaweiLists(), 1)[0] == 32


def test_an_account_knows_its_other_form(tmp_path: Path) -> None:
    listed = MESSAGE._replace(list_id=SHARED)
    account = {"app_secret": "s", "package_name": "p"}
    for provider, own in (("huawei", KEY_FILE), ("xiaomi", account)):
        single, many = (opened(tmp_path, provider, own | {"per_request": most}) for most in (1, 100))
        assert single.other_form is not None
        assert many.other_form is not None
        bodies = [adapter.build_request(listed).body for adapter in (single.adapter, many.adapter)]
        assert [
            many.other_form.build_request(listed).body,
            single.other_form.build_request(listed).body,
        ] == bodies
        assert bodies[0] != bodies[1]


def test_a_message_of_the_intake_keeps_its_own_name() -> None:
    assert list_id("c", "intake-m1", "huawei") is None
    assert naming(MESSAGE, by_list=True) == {"dispatch_id": MESSAGE.dispatch_id}
    listed = MESSAGE._replace(list_id=SHARED)
    assert naming(listed, by_list=True) == {"list_id": SHARED}
    assert naming(listed, by_list=False) == {"dispatch_id": MESSAGE.dispatch_id}


SCRIPTS = {
    "huawei": (
        rules(
            RULE % ("r003", 200, "80300007"),
            RULE % ("r004", 200, "80100000.tokenFormatError"),
            BUSY % ("r009", 401, "80200003"),
        ),
        {"80100000.tokenFormatError": 2},
    ),
    "xiaomi": (
        rules(
            RULE % ("r003", 200, "bad_regids"), BUSY % ("r005", 200, "10027"), BUSY % ("r006", 200, "10002")
        ),
        {"gone:bad_regids": 1},
    ),
}


# Two texts in all, as most campaigns of marketing have a few.
SAME = {
    "locale": "en",
    "fields": lambda n: json.dumps(
        {"campaign_id": "price_drop", "item": f"item{n % 2}", "first_name": "you"}
    ),
}


def in_lists(
    lake: Lake, folder: Path, channel: str, patch: pytest.MonkeyPatch, script: str, most: int = 40
) -> Any:
    """Deliver 200 rows of two texts, by lists."""

    def prepare(names: dict[str, Any]) -> None:
        path = Path(names[f"{channel}_credentials"])
        path.write_text(json.dumps(json.loads(path.read_text()) | {"per_request": most}))

    return run(lake, folder, channel, patch, script, prepare, **SAME)


@pytest.mark.parametrize("channel", SCRIPTS)
def test_a_delivery_by_lists_accounts_for_every_row(
    channel: str, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, refused = SCRIPTS[channel]
    result, phones = in_lists(lake, tmp_path, channel, monkeypatch, script)
    n = 200 - sum(refused.values())
    assert result.delivered == {"accepted": n, "rejected": 200 - n}
    assert reasons(lake) == {None: n, **refused}
    assert set(phones.received.values()) == {1}
    assert len(phones.received) == n
    assert phones.n_requests < 60, "rows of one text share requests"
    assert lake.store.children(f"lists/{DS}") == [channel]
    rows = lake.read(lake.require("dispatch_manifest", ds=DS)).to_pylist()
    names = {
        listed_id(str(list_id(row["campaign_id"], row["occurrence"], channel)), row["address"])
        for row in rows
    }
    assert phones.received.keys() <= names


def test_an_answer_that_is_lost_is_lost_for_its_list(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "rules:\n  - {match: {token_prefix: r003}, then: {reset: after}}"
    result, phones = in_lists(lake, tmp_path, "huawei", monkeypatch, script, 100)
    ambiguous = result.delivered["ambiguous"]
    assert 1 < ambiguous <= 100
    assert result.delivered == {"accepted": 200 - ambiguous, "ambiguous": ambiguous}
    assert set(phones.received.values()) == {1}, "nobody has it twice, and nobody is without"
    assert len(phones.received) == 200
