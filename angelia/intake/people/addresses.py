"""People's addresses as clients state them: kept in the database, exported to the lake.

Grain: person x channel x address. Reads `user_endpoints`, `registered_addresses`, `suppressions`; writes the
table `intake_addresses`, and `registered_addresses` on export. Surprise: a channel's list replaces what
stands there, and what a provider, a complaint or an erasure closed is not taken again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from angelia.contracts.sending import Micros
from angelia.intake.database import answering, kept
from angelia.intake.errors import refused
from angelia.intake.message import microseconds
from angelia.intake.tables import addresses
from angelia.lake import Lake
from angelia.users.addresses import form_of, same_address
from angelia.users.registered import addresses_of, register
from angelia.users.suppressions import address_hashes, address_key, refusals_of

GONE, THEIRS, WAITING = 0, 1, 2
_KEY = ("user_id", "channel", "address_hash")
_EXPORTED_AT_ONCE = 50_000  # words a commit: some megabytes
Spelling = tuple[str, str]  # channel, and a spelling of an address
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Device(NamedTuple):
    """What is known of the device behind an address; None = unknown."""

    app_version: str | None = None
    permission: str | None = None

    def amended(self, by: Device) -> Device:
        """Return this device after a word that may leave something out."""
        return Device(by.app_version or self.app_version, by.permission or self.permission)


NOTHING_KNOWN = Device()


@dataclass(frozen=True)
class Standing:
    """An address that is somebody's, waits for their yes, or is closed."""

    channel: str
    address: str
    since_us: Micros
    state: str  # open, waiting, closed
    device: Device = NOTHING_KNOWN

    @property
    def spelling(self) -> Spelling:
        """What all spellings of the address have in common."""
        return self.channel, same_address(self.channel, self.address)


@dataclass(frozen=True)
class Replaced:
    """What a client's statement changed."""

    still_closed: list[Spelling]
    to_confirm: list[Spelling]  # channel and address as it is kept


class PeopleAddresses:
    """What is known of people's addresses, and what clients change of it."""

    def __init__(self, engine: Engine, lake: Lake) -> None:
        self._engine, self._lake = engine, lake

    def standing(self, user: str) -> list[Standing]:
        """Return a person's addresses, those waiting for a yes and closed ones included."""
        closed = _Closed(self._lake, user)
        known: dict[Spelling, Standing] = {}
        for row in addresses_of(self._lake, user).to_pylist():
            if row["is_active"] and row["address"] and row["channel"] and row["registered_ts"]:
                since = microseconds(row["registered_ts"])
                state = closed.state(row, since)
                each = Standing(row["channel"], row["address"], since, state, _device(row))
                known[each.spelling] = each
        for word in self._words(user):
            of = str(word["channel"]), same_address(word["channel"], word["address"])
            before = known.get(of)
            # What came by the lake after this word holds: a yes to the mail, or a newer snapshot.
            if before is not None and before.since_us > word["said_us"]:
                continue
            known.pop(of, None)
            if word["state"] != GONE:
                state = "waiting" if word["state"] == WAITING else closed.state(word, word["said_us"])
                known[of] = Standing(word["channel"], word["address"], word["said_us"], state, _device(word))
        return sorted(known.values(), key=lambda each: (each.channel, each.address))

    def replace(
        self,
        user: str,
        wanted: Mapping[str, Sequence[str]],
        now_us: Micros,
        can_ask: Callable[[str], bool],
        devices: Mapping[Spelling, Device] | None = None,
    ) -> Replaced:
        """Keep a client's word: these are a person's addresses of these channels.

        Args:
            wanted: addresses as the import keeps them, by channel; other channels stay as they are.
            can_ask: whether a mail can ask a person for the yes that a new address of a channel waits for.
            devices: channel and address as in `wanted` -> what the client says of the device behind it.

        Raises:
            Refused: a mail address is new, and nobody can be asked; nothing was kept.
        """
        closed = _Closed(self._lake, user)
        still_closed, asked, rows = list[Spelling](), list[Spelling](), list[dict[str, Any]]()
        standing = {each.spelling: each for each in self.standing(user) if each.channel in wanted}
        named = {
            (channel, same_address(channel, address)): address
            for channel, listed in wanted.items()
            for address in listed
        }
        # A clock that is behind must not lose against what it has read.
        at_us = max([now_us, *(each.since_us + 1 for each in standing.values())])
        for (channel, spelling), address in named.items():
            before, stated = (
                standing.get((channel, spelling)),
                (devices or {}).get((channel, address), NOTHING_KNOWN),
            )
            if before is not None and before.state != "closed":
                asked += [(channel, before.address)] if before.state == "waiting" else []
                device = before.device.amended(stated)
                # An app that was updated, or a permission taken back, is a new word on a known address.
                if before.state == "open" and device != before.device:
                    rows.append(_row(user, channel, before.address, THEIRS, at_us, device))
            elif closed.has(channel, address):
                still_closed.append((channel, address))
            elif form_of(channel) != "email":
                rows.append(_row(user, channel, address, THEIRS, at_us, stated))
            elif not can_ask(channel):
                # Nobody may put another person's mail address in theirs.
                raise refused(
                    "not_offered", f"no mail can ask the person for a yes by {channel}", "addresses"
                )
            else:
                rows.append(_row(user, channel, address, WAITING, at_us))
                asked.append((channel, address))
        # What is said already is not written again, so a request may be repeated.
        rows += [
            _row(user, each.channel, each.address, GONE, at_us)
            for each in standing.values()
            if each.spelling not in named
        ]
        self._write(rows)
        return Replaced(sorted(still_closed), asked)

    def _words(self, user: str) -> list[dict[str, Any]]:
        query = sa.select(addresses).where(addresses.c.user_id == user)
        with answering(self._engine), self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _write(self, rows: Sequence[dict[str, Any]]) -> None:
        if not rows:
            return

        def write(connection: Connection) -> None:
            for row in rows:
                of = [addresses.c[name] == row[name] for name in _KEY]
                connection.execute(sa.delete(addresses).where(*of))
            connection.execute(sa.insert(addresses), list(rows))

        # Where somebody speaks of the same person meanwhile, the last word holds.
        kept(self._engine, write)


class _Closed:
    """Which of a person's addresses the log of suppressions has ever closed."""

    def __init__(self, lake: Lake, user: str) -> None:
        log = lake.read_log("suppressions")
        mine = log.filter(pc.equal(log["user_id"], user))
        self._key = address_key(lake.store)
        # Complaints and erasures close every address; a refusal of the person keeps them, and holds anyhow.
        self._for_good = refusals_of(mine)
        self._user = user
        self._entries = [
            (row["channel"], row["address_hash"], microseconds(row["since_ts"]))
            for row in mine.to_pylist()
            if row["address_hash"]
        ]

    def has(self, channel: str, address: str) -> bool:
        """Say whether an address was ever closed, or the person was for good."""
        if any(self._for_good.is_for_good(self._user, of) for of in (None, channel)):
            return True
        return self._since(channel, address) is not None

    def state(self, row: Mapping[str, Any], since_us: Micros) -> str:
        """Return how an address stands that is theirs since then."""
        closed_us = self._since(str(row["channel"]), str(row["address"]))
        return "closed" if closed_us is not None and since_us <= closed_us else "open"

    def _since(self, channel: str, address: str) -> Micros | None:
        if not self._entries:
            return None
        hashes = address_hashes(self._key, channel, address)
        return max(
            (at for of, each, at in self._entries if each in hashes and of in (None, channel)), default=None
        )


def is_closed(lake: Lake, user: str, channel: str, address: str) -> bool:
    """Say whether an address may not be taken again for a person."""
    return _Closed(lake, user).has(channel, address)


def export_addresses(lake: Lake, engine: Engine) -> tuple[int, list[str]]:
    """Bring the lake what clients said since; return how many words, and the commits.

    A run that is killed is completed by the next one, which may say a word twice.
    """
    n_words, commits = 0, list[str]()
    query = sa.select(addresses).where(addresses.c.is_exported == 0).limit(_EXPORTED_AT_ONCE)
    while True:
        with answering(engine), engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        if not rows:
            return n_words, commits
        commits.append(register(lake, [_word(row) for row in rows]).ref)
        n_words += len(rows)
        kept(engine, partial(_note_exported, rows=rows))


def _note_exported(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    c = addresses.c
    # Who spoke again meanwhile has a later word, which is not exported yet.
    names = (*_KEY, "said_us")
    mine = [c[name] == sa.bindparam(f"of_{name}") for name in names]
    keys = [{f"of_{name}": row[name] for name in names} for row in rows]
    connection.execute(sa.update(addresses).where(*mine).values(is_exported=1), keys)


def _word(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "user_id": row["user_id"],
        "channel": row["channel"],
        "address": row["address"],
        "registered_ts": _EPOCH + timedelta(microseconds=row["said_us"]),
        "is_active": row["state"] == THEIRS,
        **_device(row)._asdict(),
    }


def _device(row: Mapping[str, Any]) -> Device:
    return Device(row["app_version"], row["permission"])


def _row(
    user: str, channel: str, address: str, state: int, at_us: Micros, device: Device = NOTHING_KNOWN
) -> dict[str, Any]:
    spelling = same_address(channel, address)
    return {
        "user_id": user,
        "channel": channel,
        "address_hash": hashlib.sha256(spelling.encode()).hexdigest(),
        "address": address,
        "state": state,
        "said_us": at_us,
        # The lake learns of an address when the person has said yes, from the page they say it on.
        "is_exported": int(state == WAITING),
        **device._asdict(),
    }
