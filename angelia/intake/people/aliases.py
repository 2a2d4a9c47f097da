"""Names under which messages stand that named a person's address.

Grain: address. Reads the intake database, `user_endpoints`, `registered_addresses`, `intake_messages`; writes
nothing. Surprise: these names are erased before the person, whose addresses lead to them: an erasure that is
killed finds them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from angelia.errors import InvalidInput
from angelia.importing.addresses import judge_addresses
from angelia.intake.erasing import IntakePeople
from angelia.intake.people.addressed import stranger
from angelia.intake.people.addresses import PeopleAddresses
from angelia.lake import Lake
from angelia.text_files import chunks, require_utf8
from angelia.users.registered import addresses_of
from angelia.users.suppressions import address_key

MESSAGES = "intake_messages"


def aliases_of(lake: Lake, users: Sequence[str], elsewhere: IntakePeople | None) -> list[str]:
    """Return the names of people's addresses that any message stands under."""
    if elsewhere is None:
        return []
    pairs: set[tuple[str, str]] = set()
    for user in users:
        rows = addresses_of(lake, user).to_pylist()
        pairs |= {(row["channel"], row["address"]) for row in rows if row["channel"] and row["address"]}
        pairs |= {
            (each.channel, each.address) for each in PeopleAddresses(elsewhere.engine, lake).standing(user)
        }
    return _present(lake, names_of(lake, pairs), elsewhere)


def names_of(lake: Lake, pairs: Iterable[tuple[str, str]]) -> set[str]:
    """Return the names of addresses (channel, address)."""
    key = address_key(lake.store)
    return {stranger(key, *pair) for pair in pairs}


def read_addresses(path: Path) -> list[tuple[str, str]]:
    """Return the addresses of a file with `CHANNEL ADDRESS` lines, as imports keep them.

    Raises:
        InvalidInput: it names none, or a line has another form; the line is named, never the address.
    """
    require_utf8(path)
    lines = b"".join(chunks(path)).decode("utf-8-sig").splitlines()
    pairs = [(at, *line.strip().partition(" ")[::2]) for at, line in enumerate(lines, 1) if line.strip()]
    if not pairs:
        raise InvalidInput(f"{path.name} names no address", fix="write CHANNEL ADDRESS a line")
    judged = judge_addresses([(channel, address) for _, channel, address in pairs])
    for (at, *_), (_, reason) in zip(pairs, judged, strict=True):
        if reason is not None:
            raise InvalidInput(f"{path.name} line {at}: {reason}", fix="write CHANNEL ADDRESS a line")
    return [(channel, kept) for (_, channel, _), (kept, _) in zip(pairs, judged, strict=True)]


def _present(lake: Lake, names: set[str], elsewhere: IntakePeople) -> list[str]:
    present, wanted = elsewhere.holds(names) if names else set(), pa.array(sorted(names), pa.string())
    # What the database has expired stands in the lake as long as its messages do.
    for leaf in lake.partitions(MESSAGES) if names else ():
        users = lake.read(lake.require(MESSAGES, **leaf), ["user_id"])["user_id"]
        present |= set(users.filter(pc.is_in(users, wanted)).to_pylist())
    return sorted(present)
