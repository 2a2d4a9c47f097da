"""Whose the addresses are that messages of a batch name in place of a person.

Grain: message. Reads the batch's addresses, `user_endpoints`, `registered_addresses`, `suppressions`; writes
the person into messages. Surprise: an address that is nobody's gets a person for the time of the batch, who
may be sent what is transactional; one that was closed for anybody is closed for all who had it then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from angelia.contracts.outcomes import SUPPRESSED, UNREACHABLE
from angelia.contracts.sending import Micros
from angelia.intake.dispatching.batches import Batches, IntakeBatch
from angelia.intake.dispatching.deciding import TO_ADDRESS, WHY_CLOSED
from angelia.intake.dispatching.people import NightPeople, Person
from angelia.intake.message import is_by_address
from angelia.intake.people.addressed import is_stranger
from angelia.intake.store import Row
from angelia.lake import Lake
from angelia.users.addresses import same_address
from angelia.users.suppressions import address_hashes, address_key

_NOBODYS = 2**32 - 1  # an ordinal that no person has: the index numbers people densely from 0


@dataclass(frozen=True)
class Addressed:
    """A batch's messages with their people, and the people whom no night knows."""

    rows: list[Row]
    strangers: dict[str, Person] = field(default_factory=dict)


def find_people(
    lake: Lake, batches: Batches, batch: IntakeBatch, people: NightPeople, rows: Sequence[Row]
) -> Addressed:
    """Return the messages of a batch, those that name an address with whose it is."""
    mine = [row for row in rows if is_by_address(row)]
    if not mine:
        return Addressed(list(rows))
    kept = batches.addresses(mine)
    spelled = {key: (channel, same_address(channel, address)) for key, (channel, address) in kept.items()}
    owners, closed = people.owners(set(spelled.values())), _Closings(lake)
    settled: dict[tuple[str, str], Row] = {}
    strangers: dict[str, Person] = {}
    for row in mine:
        key = row["client"], row["id"]
        if key not in kept:
            # Its person was erased meanwhile, and the address with them.
            settled[key] = {**row, WHY_CLOSED: SUPPRESSED}
            continue
        (channel, address), owner = kept[key], owners.get(spelled[key])
        since = closed.since(channel, address)
        user = str(row["user_id"])
        why = None
        if owner is None:
            # A message that was named before is that person's, who has the address no more.
            why = SUPPRESSED if since is not None else None if is_stranger(user) else UNREACHABLE
            strangers |= {user: _stranger(user, channel)} if is_stranger(user) else {}
        else:
            why = SUPPRESSED if since is not None and owner[1] <= since else None
            why = why or (None if is_stranger(user) or user == owner[0] else UNREACHABLE)
            user = owner[0] if is_stranger(user) else user
        settled[key] = {**row, "user_id": user, "channels": channel, TO_ADDRESS: address, WHY_CLOSED: why}
    changed = [
        each for row in mine
        if (each := settled[row["client"], row["id"]])["user_id"] != row["user_id"]
    ]  # fmt: skip
    if changed:
        batches.name_people(batch, changed)
    return Addressed([settled.get((row["client"], row["id"]), row) for row in rows], strangers)


class _Closings:
    """Since when addresses are closed, whoever had them then."""

    def __init__(self, lake: Lake) -> None:
        self._key = address_key(lake.store)
        self._since: dict[tuple[str, str | None], Micros] = {}
        log = lake.read_log("suppressions")
        columns = [log[name].to_pylist() for name in ("address_hash", "channel")]
        for hashed, channel, since in zip(
            *columns, log["since_ts"].cast(pa.int64()).to_pylist(), strict=True
        ):
            if hashed:
                self._since[hashed, channel] = max(since, self._since.get((hashed, channel), since))

    def since(self, channel: str, address: str) -> Micros | None:
        """Return since when an address is closed, None if it never was."""
        hashes = address_hashes(self._key, channel, address) if self._since else ()
        known = [self._since.get((each, of)) for each in hashes for of in (None, channel)]
        return max((at for at in known if at is not None), default=None)


def _stranger(name: str, channel: str) -> Mapping[str, Any]:
    return {
        "user_id": name,
        "ordinal": _NOBODYS,
        "timezone": "UTC",
        "locale": "und",  # undetermined: the template's default language
        "device_vendor": None,
        "channels": [channel],
        "opted_out_topics": [],
        "is_suppressed": False,
    }
