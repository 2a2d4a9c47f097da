"""The raw front end breaks answers so that no client takes one for whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.unit.sandbox.serving import around, message, send

RULES = """
rules:
  - {match: {token_prefix: body}, then: {reset: body}}
  - {match: {token_prefix: cut}, then: {reset: cut}}
  - {match: {token_prefix: garbage}, then: {garbage: true}}
  - {match: {token_prefix: refuse}, then: {refuse: true}}
"""


def test_an_answer_in_part_is_no_answer(tmp_path: Path) -> None:
    """What arrived before the break stays unknown to the sender; what was refused is known."""

    async def use(names: dict[str, Any]) -> dict[str, str | None]:
        raw = names | {"url": names["raw_url"]}
        failures = {}
        for token in ("body", "cut", "garbage", "refuse", "well"):
            ((answer, _),) = await send(raw, [message(1, token)], timeout_s=2.0)
            failures[token] = answer.failure
        return failures

    failures, phones = around(tmp_path, use, RULES)
    assert failures == {
        "body": "unknown", "cut": "unknown", "garbage": "unknown", "refuse": "not_sent", "well": None,
    }  # fmt: skip
    assert phones.stats()["received"] == 4  # all but what was refused
