"""SES in bulk: each mail's own entry, and its own outcome out of the one answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.credentials import Credentials

from angelia.delivery.channels.ses import SesAdapter
from angelia.delivery.channels.ses_bulk import MOST, PATH, SesBulk
from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.transport.wire import Answer, Request
from tests.golden.wire import MESSAGES, assert_golden, unsigned
from tests.unit.delivery.channels.given import document, meaning, opened, refusal
from tests.unit.delivery.channels.test_ses import ACCOUNT, MAIL
from tests.unit.delivery.given import MESSAGE
from tests.unit.delivery.test_channels import reasons, run
from tests.unit.delivery.test_providers import BUSY, RULE, rules

URL, KEYS = "https://email.eu-west-1.amazonaws.com", Credentials("AKIDEXAMPLE", "secret")
SIGNER = SigV4Auth(KEYS, "ses", "eu-west-1")
ADAPTER = SesBulk(SesAdapter(MAIL, URL, "eu-west-1", KEYS), MAIL, URL, SIGNER, "shop")


def requests(n: int) -> list[Request]:
    rows = (MESSAGE._replace(address=f"p{k}@people.example", dispatch_id=f"d{k}") for k in range(n))
    return [ADAPTER.build_request(row) for row in rows]


def verdicts(answer: Any, n: int, status: int = 200) -> list[tuple[str, str | None]]:
    split = ADAPTER.split(Answer(status, json.dumps(answer).encode()), requests(n))
    return [(verdict.kind, verdict.reason) for verdict in map(ADAPTER.classify, split)]


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_equal_their_golden_files(name: str) -> None:
    assert_golden("ses_bulk", name, ADAPTER, "ann@people.example", show=unsigned)


def test_a_bulk_keeps_every_entry_and_is_signed_anew() -> None:
    alone = requests(3)
    joined = ADAPTER.join(alone)
    entries = [entry for request in alone for entry in document(request)["BulkEmailEntries"]]
    assert document(joined) == {**document(alone[0]), "BulkEmailEntries": entries}
    assert joined.path == PATH.encode()
    assert dict(joined.extra)[b"authorization"] != dict(alone[0].extra)[b"authorization"]


def test_each_entry_has_its_own_outcome() -> None:
    items = [
        {"Status": "SUCCESS", "MessageId": "1"},
        {"Status": "MESSAGE_REJECTED", "Error": "x"},
        {"Status": "TRANSIENT_FAILURE"},
        {"Status": "ACCOUNT_THROTTLED"},
        {"Status": "ACCOUNT_DAILY_QUOTA_EXCEEDED"},
        {"Status": "NEVER_HEARD_OF"},
        {"Status": None},
    ]
    assert verdicts({"BulkEmailEntryResults": items}, len(items)) == [
        ("accepted", None),
        ("rejected", "MESSAGE_REJECTED"),
        ("retry", "TRANSIENT_FAILURE"),
        ("throttled", "ACCOUNT_THROTTLED"),
        ("spent", "ACCOUNT_DAILY_QUOTA_EXCEEDED"),
        ("rejected", "NEVER_HEARD_OF"),
        ("ambiguous", "answer_without_status"),
    ]


@pytest.mark.parametrize("results", [[{"Status": "SUCCESS"}], None, {}, [{"Status": "SUCCESS"}] * 3])
def test_a_list_that_does_not_fit_tells_nobodys(results: Any) -> None:
    assert {kind for kind, _ in verdicts({"BulkEmailEntryResults": results}, 2)} == {"ambiguous"}


def test_a_failure_of_the_whole_is_everybodys() -> None:
    answer = {"__type": "TooManyRequestsException"}
    assert verdicts(answer, 2, status=429) == [("throttled", "TooManyRequestsException")] * 2
    assert meaning(ADAPTER, 502, None) == ("retry", "HTTP_502")


def test_what_is_no_mail_is_refused_before_it_is_sent() -> None:
    assert refusal(ADAPTER, address="ann@people.example", dispatch_id="a b")[0] == "control_character:header"
    assert refusal(ADAPTER, address="no mailbox")[0] == "bad_address"


@pytest.mark.parametrize("most", [0, MOST + 1, "many"])
def test_a_bulk_has_a_size(most: object, tmp_path: Path) -> None:
    bulk, single = (opened(tmp_path, "ses_v2", ACCOUNT | {"per_request": own}) for own in (2, 1))
    assert isinstance(bulk.adapter, SesBulk)
    assert isinstance(bulk.other_form, SesAdapter)
    assert isinstance(single.adapter, SesAdapter)
    assert isinstance(single.other_form, SesBulk)
    with pytest.raises(InvalidInput, match="per_request of channel second is out of range"):
        opened(tmp_path, "ses_v2", ACCOUNT | {"per_request": most})


def test_a_delivery_by_bulk_accounts_for_every_row(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_bulk(names: dict[str, Any]) -> None:
        path = Path(names["email_ses_credentials"])
        path.write_text(json.dumps(json.loads(path.read_text()) | {"per_request": 20}))

    script = rules(
        RULE % ("r003@", 400, "MESSAGE_REJECTED"),
        RULE % ("r004@", 400, "INVALID_PARAMETER"),
        BUSY % ("r005@", 400, "TRANSIENT_FAILURE"),
        BUSY % ("r006@", 400, "ACCOUNT_THROTTLED"),
    )
    result, phones = run(lake, tmp_path, "email_ses", monkeypatch, script, in_bulk)
    assert reasons(lake) == {None: 198, "MESSAGE_REJECTED": 1, "INVALID_PARAMETER": 1}
    assert result.delivered == {"accepted": 198, "rejected": 2}
    assert set(phones.received.values()) == {1}
    assert phones.n_requests < 60
