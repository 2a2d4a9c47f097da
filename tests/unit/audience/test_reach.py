"""Everybody left out of a count has one reason, the first that holds."""

from __future__ import annotations

import pytest

from angelia.audience.holdout import HeldOut, Holdout
from angelia.audience.query import AudienceQuery
from angelia.audience.reach import reach, topics
from angelia.contracts.ids import uniform, user_keys
from angelia.lake import Lake
from tests.unit.audience.typed import People

DS, HOLDOUT = "2026-11-14", Holdout(20.0, "s")


def is_held(person: dict[str, object]) -> bool:
    return bool(uniform(user_keys([str(person["user_id"])]), "bucket", "s")[0] * 100 < 20)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("topic", [None, "promo", "nothing_of_this_name"])
def test_reasons_are_those_of_the_people(people: People, lake: Lake, topic: str | None, keep: bool) -> None:
    audience = AudienceQuery(lake, DS)
    reached = reach(audience, "gender = 'f'", HeldOut(audience.index, HOLDOUT, keep=keep), topic)
    women = [p for p in people if p["gender"] == "f"]
    suppressed = [p for p in women if p["is_suppressed"]]
    reachable = [p for p in women if p["channels"] and not p["is_suppressed"]]
    refused = [p for p in reachable if topic in p["opted_out_topics"]]  # type: ignore[operator]
    held = [p for p in reachable if p not in refused and is_held(p)]
    assert reached.matched == len(women)
    assert reached.suppressed == len(suppressed)
    assert reached.without_channel == len(women) - len(suppressed) - len(reachable)
    assert (reached.opted_out, reached.held_out) == (len(refused), len(held))
    assert reached.allowed == len(reachable) - len(refused) - len(held)
    (channel,) = reached.channels.items()
    assert channel[0] == "fcm"
    assert (channel[1].reachable, channel[1].opted_out, channel[1].held_out) == (
        len(reachable), len(refused), len(held),
    )  # fmt: skip
    if topic == "promo":
        # Some who refused are in the holdout, too: they count once.
        assert [p for p in refused if is_held(p)]


def test_without_a_policy_nobody_is_held_out(people: People, lake: Lake) -> None:
    reached = reach(AudienceQuery(lake, DS), "TRUE", None)
    assert reached.held_out is None
    assert reached.allowed == reached.reachable


def test_topics_are_those_that_somebody_refused(people: People, lake: Lake) -> None:
    assert topics(AudienceQuery(lake, DS)) == ["promo"]
