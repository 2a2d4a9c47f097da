"""A row's request: an error that nobody expects rejects its own row alone."""

from __future__ import annotations

from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import pytest

from angelia.contracts.ids import list_id
from angelia.delivery.channels.base import Message, MessageRejected
from angelia.delivery.channels.fcm import FcmAdapter
from angelia.delivery.sending.building import Builder
from angelia.delivery.sending.clearance import Settle
from angelia.transport.wire import Request

ROW = {
    "fields": ["{}"], "template_id": ["t"], "template_version": [1], "locale": [None], "address": ["ann's"],
    "dispatch_id": ["d"], "collapse_key": [None], "ttl_s": [60], "priority": ["high"], "campaign_id": ["c"],
    "occurrence": ["o"], "user_id": ["ann"],
}  # fmt: skip


class Text:
    """An adapter from outside whose body is no bytes."""

    def build_request(self, message: Message) -> Request:
        return Request(b"/", (), message.address)  # type: ignore[arg-type]


class Broken:
    """An adapter from outside that meets an error of its own."""

    def build_request(self, message: Message) -> Request:
        return {}[message.address]


class Refusing:
    """An adapter that cannot send such a message."""

    def build_request(self, message: Message) -> Request:
        raise MessageRejected("bad_address")


class Plain:
    """An adapter whose request is its message, which it keeps."""

    def build_request(self, message: Message) -> Request:
        self.message = message
        return Request(b"/", (), message.body.encode())


def render(template: str, version: int, fields: str, locale: str | None) -> tuple[str, str, str | None]:
    return f"{template}@{version} {locale}", fields, "https://shop.example"


def builder(adapter: Any, other: Any = None, *, reveal: Any = None, row: Any = ROW) -> Builder:
    work: Any = SimpleNamespace(reveal=reveal, render=render, classes={"c": "service"})
    sender: Any = SimpleNamespace(adapter=adapter, other_form=other, channel="fcm")
    return Builder(work, sender, row)


@pytest.mark.parametrize("adapter", [Text(), Broken()])
def test_an_error_of_an_adapter_rejects_its_row(adapter: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert builder(adapter).build(0) == Settle("rejected", "build_error")
    assert "ann" not in caplog.text


def test_another_form_that_cannot_be_built_is_none() -> None:
    built = builder(FcmAdapter("p"), FcmAdapter("p")).build(0)
    assert not isinstance(built, Settle)
    assert builder(Broken(), FcmAdapter("p")).is_other_form(0, built[1])
    for other in (None, Text(), Broken(), Refusing()):
        assert not builder(FcmAdapter("p"), other).is_other_form(0, built[1])


def test_what_an_adapter_refuses_has_its_reason() -> None:
    assert builder(Refusing()).build(0) == Settle("rejected", "bad_address")


def test_a_message_has_what_its_row_says() -> None:
    adapter = Plain()
    builder(adapter).build(0)
    text = ("t@1 None", "{}", "https://shop.example")
    sent = ("ann's", "d", *text, None, 60, True, "service", list_id("c", "o", "fcm"))
    assert adapter.message == Message(*sent)
    builder(adapter, row=ROW | {"priority": ["medium"], "campaign_id": ["other"]}).build(0)
    assert (adapter.message.is_urgent, adapter.message.wire_class) == (False, "marketing")


def test_a_code_is_sent_and_not_part_of_the_hash() -> None:
    def reveal(user_id: str, fields: str) -> str:
        return f"{fields} 123456 of {user_id}"

    request, digest = builder(Plain(), reveal=reveal).build(0)
    assert request.body == b"{} 123456 of ann"
    assert digest == sha256(b"{}").digest() == builder(Plain()).build(0)[1]
