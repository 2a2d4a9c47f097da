"""Each scripted fate of a request on HTTP/2 is what a client sees of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.sandbox.serving import around, message, send

RULES = """
seed: 3
rules:
  - {match: {token_prefix: gone}, then: {status: 404, error: UNREGISTERED}}
  - {match: {token_prefix: busy}, then: {status: 429, error: QUOTA_EXCEEDED, retry_after: "9"}}
  - {match: {token_prefix: lost}, then: {reset: after}}
  - {match: {token_prefix: drip}, then: {drip: true}}
  - {match: {token_prefix: refuse}, then: {refuse: true}}
  - {match: {token_prefix: slow}, then: {delay_s: 0.2}}
"""


@pytest.mark.parametrize(
    ("token", "kind", "failure", "received"),
    [
        ("gone", "gone", None, 0),
        ("busy", "throttled", None, 0),
        ("lost", None, "unknown", 1),
        ("drip", None, "unknown", 1),
        ("refuse", None, "not_sent", 0),
        ("slow", "accepted", None, 1),
    ],
)
def test_scripted_faults(
    tmp_path: Path, token: str, kind: str | None, failure: str | None, received: int
) -> None:
    results, phones = around(tmp_path, lambda names: send(names, [message(1, token)], timeout_s=0.8), RULES)
    answer, verdict = results[0]
    assert (verdict.kind if verdict else None, answer.failure, phones.stats()["received"]) == (
        kind,
        failure,
        received,
    )
    if token == "busy":
        assert answer.header(b"retry-after") == "9"


def test_what_goaway_calls_unprocessed_is_not_received_either(tmp_path: Path) -> None:
    rules = "rules:\n  - {match: {nth: 10}, then: {goaway: true}}\n"
    results, phones = around(
        tmp_path, lambda names: send(names, [message(n, f"t{n}") for n in range(60)], timeout_s=5.0), rules
    )
    failures = [answer.failure for answer, _ in results]
    assert failures.count("not_sent") >= 1
    assert phones.stats()["received"] == failures.count(None)
    assert phones.doubled == 0
