"""Numbers and instants as people read them."""

from __future__ import annotations

import pytest

from angelia.console.words import at_hours


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("up to 0.1588 at 2026-11-16T01.", "up to 0.1588 at 16 Nov 01:00 UTC."),
        ("fcm 2026-11-15T11", "fcm 15 Nov 11:00 UTC"),
        ("budget price_drop", "budget price_drop"),
        ("of 2026-11-15", "of 2026-11-15"),
        ("2026-11-15T110", "2026-11-15T110"),
        ("", ""),
    ],
)
def test_hours_in_a_sentence_are_read_aloud(text: str, reads: str) -> None:
    assert at_hours(text) == reads
