"""Answers as values: a header is found by its name, and 0 is no status."""

from __future__ import annotations

from angelia.transport.wire import NOT_SENT, UNKNOWN, Answer, Request


def test_the_first_header_of_a_name_is_returned() -> None:
    answer = Answer(200, b"", ((b"a", b"1"), (b"retry-after", b"7"), (b"retry-after", b"9"), (b"b", b"\xe9")))
    assert answer.header(b"retry-after") == "7"
    assert answer.header(b"b") == "é", "headers are Latin-1, so none is undecodable"
    assert answer.header(b"Retry-After") is None
    assert Answer(200).header(b"a") is None


def test_equal_requests_are_one_key_and_failures_differ() -> None:
    request = Request(b"/a", ((b"x", b"1"),), b"{}")
    assert {request: 1}[Request(b"/a", ((b"x", b"1"),), b"{}")] == 1
    assert request != request._replace(own_path=True)
    assert NOT_SENT != UNKNOWN
