"""A row's request: an error that nobody expects rejects its own row alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from angelia.delivery.channels.base import Message
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


def builder(adapter: Any, other: Any = None) -> Builder:
    work: Any = SimpleNamespace(reveal=None, render=lambda *_: ("Hello", "there", None), classes={})
    sender: Any = SimpleNamespace(adapter=adapter, other_form=other, channel="fcm")
    return Builder(work, sender, ROW)


@pytest.mark.parametrize("adapter", [Text(), Broken()])
def test_an_error_of_an_adapter_rejects_its_row(adapter: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert builder(adapter).build(0) == Settle("rejected", "build_error")
    assert "ann" not in caplog.text


def test_another_form_that_cannot_be_built_is_none() -> None:
    built = builder(FcmAdapter("p"), FcmAdapter("p")).build(0)
    assert not isinstance(built, Settle)
    assert builder(Broken(), FcmAdapter("p")).is_other_form(0, built[1])
    for other in (None, Text(), Broken()):
        assert not builder(FcmAdapter("p"), other).is_other_form(0, built[1])
