"""Of what callers report the journal keeps ids and codes, and no word of a person."""

from __future__ import annotations

import pytest

from angelia.lake import Lake
from angelia.receive.journal import parse
from tests.unit.receive.callers import NOW, body_of, event


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("550 5.1.1 user unknown", "5.1.1"),
        ("smtp; 550-5.1.1 <" + "x" * 300 + "> no such user", "5.1.1"),
        ("x" * 65, "other"),
        ("é", "other"),
        ("mail from 10.5.1.1 refused", "other"),
    ],
)
def test_an_enhanced_code_is_found_within_a_text(reason: str, kept: str) -> None:
    (event_of_text,), refused = parse(body_of(event("0" * 32, "bounced", reason=reason)), NOW)
    assert (event_of_text.reason, refused) == (kept, [])


def test_of_free_words_and_mailboxes_nothing_is_kept(lake: Lake) -> None:
    texts = [
        ("hard", "hard"),
        ("5.1.1", "5.1.1"),
        ("SMTP_550_5.1.1", "SMTP_550_5.1.1"),
        (None, None),
        ("ann@mail.example", "other"),
        ("+49170123456", "other"),
    ]
    body = body_of(
        *[
            event("0" * 32, "bounced", f"e{n}", **({"reason": reason} if reason else {}))
            for n, (reason, _) in enumerate(texts)
        ]
    )
    assert [found.reason for found in parse(body, NOW)[0]] == [kept for _, kept in texts]
    first, again, other = (
        parse(body_of(event("0" * 32, name=name)), NOW)[0][0].id
        for name in ("<1.ann@mail.example>", "<1.ann@mail.example>", "<2.ann@mail>")
    )
    assert first == again != other
    assert "ann" not in first
