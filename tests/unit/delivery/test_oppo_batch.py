"""OPPO's batch: each message's own answer out of the one that came."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from angelia.delivery.channels import open_provider, oppo
from angelia.delivery.channels.base import ChannelConfig
from angelia.delivery.channels.oppo_batch import PATH, OppoBatch
from angelia.errors import InvalidInput
from angelia.transport.wire import Answer, Request
from tests.unit.delivery.given import MESSAGE

ADAPTER = oppo.OppoAdapter({})


def requests(*devices: str) -> list[Request]:
    return [
        ADAPTER.build_request(MESSAGE._replace(address=device, dispatch_id=str(number)))
        for number, device in enumerate(devices)
    ]


def verdicts(document: object, *devices: str) -> list[tuple[str, str | None]]:
    answers = OppoBatch().split(Answer(200, json.dumps(document).encode()), requests(*devices))
    return [(verdict.kind, verdict.reason) for verdict in map(ADAPTER.classify, answers)]


def test_a_batch_keeps_every_message_as_it_was() -> None:
    alone = requests("a", "b")
    joined = OppoBatch().join(alone)
    listed = json.loads(parse_qs(joined.body.decode())["messages"][0])
    assert joined.path == PATH
    assert listed == [json.loads(parse_qs(request.body.decode())["message"][0]) for request in alone]


def test_partial_failures_are_each_devices_own() -> None:
    # Out of order, one device twice, one not named at all.
    data = [
        {"registrationId": "b", "messageId": "1", "errorCode": 10000, "errorMessage": "x"},
        {"registrationId": "a", "messageId": "2"},
        {"registrationId": "a", "messageId": "3", "errorCode": -1},
    ]
    assert verdicts({"code": 0, "data": data}, "a", "b", "a", "c") == [
        ("accepted", None),
        ("gone", "10000"),
        ("retry", "-1"),
        ("ambiguous", "answer_without_code"),
    ]


@pytest.mark.parametrize(
    ("document", "kind"), [({"code": 11}, "auth"), ({"code": 33}, "spent"), ([], "ambiguous")]
)
def test_a_failure_of_the_whole_is_everybodys(document: object, kind: str) -> None:
    assert [word for word, _ in verdicts(document, "a", "b")] == [kind, kind]


@pytest.mark.parametrize("most", [0, 1001, "many"])
def test_a_batch_has_a_size(most: object, tmp_path: Path) -> None:
    path = tmp_path / "oppo.json"
    path.write_text(json.dumps({"app_key": "k", "master_secret": "s", "per_request": most}))
    with pytest.raises(InvalidInput, match="per_request of channel oppo is out of range"):
        open_provider(ChannelConfig("oppo", "oppo", 60.0, credentials=path))
