"""People's addresses in the intake's database, on each store."""

from __future__ import annotations

from sqlalchemy.engine import Engine

from angelia.intake.people.addresses import PeopleAddresses, export_addresses, is_closed
from angelia.lake import Lake

NOW_US = 1_790_000_000_000_000


def test_words_are_kept_replaced_and_exported_once(any_engine: Engine, lake: Lake) -> None:
    known = PeopleAddresses(any_engine, lake)
    for phones in (["+491711", "+491712"], ["+491712", "+491713"]):
        known.replace("u1", {"sms": phones}, NOW_US, lambda _: False)
    assert [each.address for each in known.standing("u1")] == ["+491712", "+491713"]
    assert known.standing("u2") == []
    assert export_addresses(lake, any_engine)[0] == 3, "what is no more is said, too"
    assert export_addresses(lake, any_engine)[0] == 0
    # A clock that is behind loses against nothing that it has read.
    known.replace("u1", {"sms": []}, NOW_US - 1, lambda _: False)
    assert known.standing("u1") == []
    assert not is_closed(lake, "u1", "sms", "+491711")
