"""The app's inbox: whom a message is for, how long it stays, and what each answer means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from angelia.delivery.channels import inbox
from angelia.delivery.channels.base import ChannelConfig
from angelia.errors import InvalidInput
from tests.golden.wire import MESSAGES, assert_golden
from tests.unit.delivery.channels.given import meaning, refusal
from tests.unit.delivery.given import MESSAGE

ADAPTER = inbox.InboxAdapter("inbox")


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_equal_their_golden_files(name: str) -> None:
    assert_golden("inbox", name, ADAPTER, "u00000001")


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (200, "accepted", None), (400, "rejected", "HTTP_400"), (401, "halt", "HTTP_401"),
        (404, "halt", "HTTP_404"), (413, "rejected", "HTTP_413"), (429, "throttled", "HTTP_429"),
        (503, "retry", "HTTP_503"), (418, "rejected", "HTTP_418"),
    ],
)  # fmt: skip
def test_each_answer_has_its_meaning(status: int, kind: str, reason: str | None) -> None:
    assert meaning(ADAPTER, status, {}) == (kind, reason)


@pytest.mark.parametrize("address", ["", "a b", "é", "u" * 65])
def test_an_address_is_a_persons_id(address: str) -> None:
    assert refusal(ADAPTER, address=address)[0] == "bad_address"


@pytest.mark.parametrize(("ttl_s", "kept"), [(0, 1), (60, 60), (9_999_999, 2_592_000)])
def test_a_lifetime_is_at_most_thirty_days(ttl_s: int, kept: int) -> None:
    request = ADAPTER.build_request(MESSAGE._replace(address="u1", ttl_s=ttl_s))
    assert json.loads(request.body)["ttl_s"] == kept


def test_a_channel_without_its_address_says_which_to_set(tmp_path: Path) -> None:
    path = tmp_path / "inbox.json"
    path.write_text('{"secret": "s"}')
    with pytest.raises(InvalidInput, match="has no address") as error:
        inbox.open_provider(ChannelConfig("app", "inbox", 60.0, credentials=path))
    assert "ANGELIA_APP_URL" in error.value.one_line()
