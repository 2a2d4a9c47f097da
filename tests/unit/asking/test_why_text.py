"""What `why` answered, as lines: bars to scale, one idea a line, nothing empty."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from angelia.asking.records import (
    CampaignWhy,
    Fate,
    Hour,
    HourOffer,
    Later,
    MaterialChance,
    PersonStanding,
    Score,
    ScorePart,
    Versions,
    Why,
)
from angelia.asking.why_text import BARS, bars, lines
from angelia.audience.one_person import Clause

VERSIONS = Versions(
    "plan@1", "v1", "m1", "curves@1", "scores@1", "features@1", "audiences@1", "catalog@1", "index@1", None
)
ASHA = PersonStanding("Asia/Kolkata", None, ("fcm",), ("promo",), True, "cluster-1", 2.5)
CHOSEN = HourOffer("2026-11-15T20", "Mon 01:30", "fcm", 0.1, 90_000, 1_000, 5, 10, True)


def campaign(**changes: Any) -> CampaignWhy:
    given = {
        "campaign": "sale",
        "outcome": "capped",
        "says": "caps are full",
        "audience": "all",
        "is_member": True,
    }
    return CampaignWhy(**{**given, **changes})


def page(*campaigns: CampaignWhy, person: PersonStanding | None = None, hours: tuple[Hour, ...] = ()) -> str:
    why = Why("2026-11-14", "2026-11-15T04:00:00", person, hours, campaigns, VERSIONS, ("a note",))
    return "\n".join(lines(why))


def test_bars_are_to_scale_and_the_largest_is_full() -> None:
    assert bars([0.0, 1.0, 2.0]) == BARS[0] + BARS[4] + BARS[7]
    assert bars([0.0, -1.0]) == BARS[0] * 2
    assert bars([]) == ""


def test_a_person_is_told_by_what_the_night_knew() -> None:
    hours = tuple(Hour(f"2026-11-15T{h:02d}", f"Sun {h:02d}:30", h / 10, False, False) for h in range(4, 8))
    text = page(person=ASHA, hours=hours)
    assert "Asia/Kolkata, no language; fcm, refused promo, suppressed" in text
    assert "from Sun 04:30 on, best Sun 07:30 (0.70), Sun 06:30 (0.60), Sun 05:30 (0.50)" in text
    assert "evidence 2.5, cohort cluster-1" in text
    assert text.endswith("note       a note")
    assert "bitmap" not in text


def test_a_sent_message_says_when_and_how_it_was_chosen() -> None:
    sent = campaign(
        outcome="sent",
        channel="fcm",
        slot="2026-11-15T20",
        local="Mon 01:30",
        worth_micros=90_000,
        price_micros=1_000,
        offers=(CHOSEN,),
    )
    text = page(sent)
    assert "sale: sent by fcm at 2026-11-15T20:00 UTC (Mon 01:30 on their clock)" in text
    assert "0.0900 after its cost, against a price of 0.0010; slot chosen" in text
    assert "> 11-15T20 UTC Mon 01:30 fcm" in text
    drawn = page(campaign(outcome="sent", channel="fcm", slot="x", is_explore=True, slot_propensity=0.05))
    assert "slot drawn for exploration with probability 0.0500" in drawn


def test_a_price_of_refusals_is_named_where_there_is_one() -> None:
    costs = Later(0.5, 0.3, 0.1, 0.001, 2_000, 0.05)
    assert "with probability 0.00100\n" in page(campaign(later=costs))
    priced = page(campaign(later=replace(costs, refusal_micros=4_200)))
    assert "with probability 0.00100; the policy's price on that is 0.0042\n" in priced
    earns = page(campaign(later=replace(costs, refusal_micros=-4_200)))
    assert "with probability 0.00100; as that is less than the policy's limit, 0.0042 is added\n" in earns


def test_a_channel_chosen_by_value_says_so() -> None:
    text = page(campaign(outcome="sent", channel="sms", by_channel="by value less cost and price: sms"))
    assert "channel    by value less cost and price: sms" in text
    assert "by value" not in page(campaign(outcome="sent", channel="sms"))


def test_only_the_parts_that_decide_are_shown() -> None:
    clauses = (
        Clause(0, "AND", "failed", None, True),
        Clause(1, "gender = 'f'", "held", "f", False),
        Clause(1, "age_years > 9", "failed", "3", True),
        Clause(1, "OR", "unknown", None, True),
    )
    text = page(campaign(clauses=clauses, is_member=False))
    assert "all: not in it" in text
    assert "- age_years > 9  has 3; failed" in text
    assert "? one of these" in text
    assert "gender" not in text
    assert "AND" not in text


def test_materials_say_their_chance_and_scores_their_parts() -> None:
    parts = (ScorePart("taste", "shoes", 0.5, 0.25), ScorePart("age", "x" * 40, -0.1, None))
    materials = (MaterialChance("a", 0.1, 0.2, 0.75, None), MaterialChance("bb", None, None, 0.0, "expired"))
    text = page(campaign(materials=materials, score=Score("a", 0.1, "c", 0.05, parts)))
    assert "> a   p(open) 0.1000, at their best hour 0.2000, drawn with probability 0.7500" in text
    assert "  bb  expired" in text
    assert "log-odds of a (and over c)" in text
    assert "+0.500  (+0.250)" in text
    assert "x" * 33 not in text


@pytest.mark.parametrize(
    ("fate", "says"),
    [
        (Fate("held_back", None, "guard", None, None), "not sent (guard)"),
        (
            Fate("accepted", "fcm", None, datetime(2026, 11, 15, 20, 1, 2, tzinfo=UTC), None),
            "by fcm at 2026-11-15 20:01:02 UTC; no open is known",
        ),
        (
            Fate("accepted", "fcm", None, datetime(2026, 11, 15, 20, tzinfo=UTC), None, (2, 3)),
            "UTC on 2 of 3 devices; no open is known",
        ),
        (
            Fate(
                "accepted",
                "fcm",
                None,
                datetime(2026, 11, 15, 20, tzinfo=UTC),
                datetime(2026, 11, 15, 21, tzinfo=UTC),
            ),
            "opened at 2026-11-15 21:00 UTC",
        ),
    ],
)
def test_what_became_of_it_is_a_sentence(fate: Fate, says: str) -> None:
    assert says in page(campaign(fate=fate))


def test_closed_hours_are_counted_in_words() -> None:
    text = page(campaign(closed=(("quiet", 1), ("passed", 5))))
    assert "1 hour quiet, 5 hours passed" in text
