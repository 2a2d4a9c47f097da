"""The night that tests send to: everybody can be reached, at no real address."""

from __future__ import annotations

from angelia.intake.dispatching import sample_night
from angelia.intake.dispatching.people import BatchSources, NightPeople
from angelia.lake import Lake


def test_everybody_is_reached_at_an_address_that_is_nobodys(lake: Lake) -> None:
    sample_night.make(lake, 3, "2026-11-26")
    people = NightPeople(lake, BatchSources.newest(lake))
    users = [sample_night.user(number) for number in range(3)]
    addresses = people.addresses(people.of([*users, sample_night.user(3)]))
    assert sorted(addresses) == [(user, "fcm") for user in users]
    assert all(address.startswith("sandbox-") for (address,) in addresses.values())


def test_numbers_may_begin_anywhere(lake: Lake) -> None:
    sample_night.make(lake, 2, "2026-11-26", first=5, features={"locale": ["de", "en"]})
    people = NightPeople(lake, BatchSources.newest(lake)).of(["u0000004", "u0000005", "u0000006"])
    assert {user: person["locale"] for user, person in people.items()} == {
        "u0000005": "de",
        "u0000006": "en",
    }
