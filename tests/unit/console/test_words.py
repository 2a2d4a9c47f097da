"""Numbers and instants as people read them."""

from __future__ import annotations

import pytest

from angelia.console.words import at_hours, at_instants


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


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        (
            "ada made 3 at 2026-11-28T22:25:37.802996+00:00, yours",
            "ada made 3 at 2026-11-28 22:25 UTC, yours",
        ),
        ("at 2026-11-29T01:30:00+02:00.", "at 2026-11-28 23:30 UTC."),
        ("at 2026-11-28T22:25:37Z", "at 2026-11-28 22:25 UTC"),
        ("of 2026-11-28", "of 2026-11-28"),
        ("at 2026-11-28T22", "at 2026-11-28T22"),
    ],
)
def test_instants_in_a_sentence_are_read_aloud(text: str, reads: str) -> None:
    assert at_instants(text) == reads
