"""The owner of the number that a text message came from: its event names no dispatch.

Reads the newest `user_endpoints`, and `registered_addresses`. Grain: event. Surprises: an address that two
people registered is its newest owner's, as it is when it is written to. The first text after a new night
hashes every number of its channel, some 5 seconds a million; those after it are looked up, for 16 bytes a
number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow.compute as pc

from angelia.lake import Commit, Lake
from angelia.receive.journal import Event
from angelia.users.registered import REGISTERED, last_words
from angelia.users.suppressions import address_hashes, address_key


def about(event: Event) -> str:
    """Return what an event is about: its dispatch, or channel and hash of its number."""
    return event.dispatch_id or f"{event.caller}:{event.address_hash}"


@dataclass(frozen=True)
class _Numbers:
    """The hashes of a channel's addresses, sorted, and where each stands.

    `heads`: the first eight bytes of each hash, uint64 (n,); `places`: file and row in it, int32 (n, 2).
    """

    heads: np.ndarray[Any, np.dtype[np.uint64]]
    places: np.ndarray[Any, np.dtype[np.int32]]

    def of(self, hashed: str) -> set[tuple[int, int]]:
        """Return the places that may hold an address."""
        first, last = (np.searchsorted(self.heads, _head(hashed), side) for side in ("left", "right"))
        return {(file, row) for file, row in self.places[first:last].tolist()}


class Owners:
    """Knows who has which number, by the newest snapshot."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._of: tuple[str, int] = ("", -1)
        self._numbers: dict[str, _Numbers] = {}
        self._spoken: tuple[tuple[int, int], dict[tuple[str, str], list[dict[str, Any]]]] = ((0, 0), {})

    def of(self, events: Sequence[Event]) -> dict[str, dict[str, Any]]:
        """Return user and channel of the events that name an address, where somebody has it."""
        if not events:
            return {}
        leaves = self._lake.partitions("user_endpoints")
        commit = self._lake.require("user_endpoints", **leaves[-1]) if leaves else None
        if commit is not None and (leaves[-1]["ds"], commit.number) != self._of:
            self._of, self._numbers = (leaves[-1]["ds"], commit.number), {}
        key, owners = address_key(self._lake.store), dict[str, dict[str, Any]]()
        words = self._words(key)
        for channel, hashed in sorted({(event.caller, str(event.address_hash)) for event in events}):
            # A client's word holds over what the sources said of the same person and address before it.
            spoken = words.get((channel, hashed), [])
            until = {row["user_id"]: row["registered_ts"] for row in spoken}
            claims = [(row["registered_ts"], row["user_id"]) for row in spoken if row["is_active"]]
            for at, user in self._of_sources(commit, channel, hashed, key) if commit is not None else ():
                if user not in until or at > until[user]:
                    claims.append((at, user))
            if claims:
                owners[f"{channel}:{hashed}"] = {"user_id": max(claims)[1], "channel": channel}
        return owners

    def _of_sources(
        self, commit: Commit, channel: str, hashed: str, key: bytes
    ) -> Iterator[tuple[datetime, str]]:
        """Yield who registered an address, and when, in a snapshot."""
        if channel not in self._numbers:
            self._numbers[channel] = self._read(commit, channel, key)
        for file, number in self._numbers[channel].of(hashed):
            columns = ["user_id", "address", "registered_ts"]
            (row,) = self._lake.read_file(commit.files[file], columns).slice(number, 1).to_pylist()
            is_dirty = row["registered_ts"] is None or row["user_id"] is None
            if not is_dirty and hashed in address_hashes(key, channel, row["address"]):
                yield row["registered_ts"], row["user_id"]

    def _words(self, key: bytes) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """Return clients' last words by channel and hash, anew after new ones or an erasure."""
        state = self._lake.erasures(), self._lake.read_log(REGISTERED).num_rows
        if state != self._spoken[0]:
            by_hash: dict[tuple[str, str], list[dict[str, Any]]] = {}
            for row in last_words(self._lake).to_pylist():
                for hashed in address_hashes(key, row["channel"], row["address"]):
                    by_hash.setdefault((row["channel"], hashed), []).append(row)
            self._spoken = state, by_hash
        return self._spoken[1]

    def _read(self, commit: Commit, channel: str, key: bytes) -> _Numbers:
        heads, places = [np.empty(0, np.uint64)], [np.empty((0, 2), np.int32)]
        for file, entry in enumerate(commit.files):
            table = self._lake.read_file(entry, ["channel", "address"])
            mine = pc.and_(pc.equal(table["channel"], channel), pc.is_valid(table["address"]))
            rows = np.flatnonzero(pc.fill_null(mine, False).to_numpy())
            every = [
                address_hashes(key, channel, address) for address in table["address"].filter(mine).to_pylist()
            ]
            # An address has a hash for each of its spellings, mostly one.
            at = np.repeat(rows, list(map(len, every)))
            heads.append(np.fromiter((_head(hashed) for hashes in every for hashed in hashes), np.uint64))
            places.append(np.column_stack((np.full(len(at), file), at)).astype(np.int32))
        by_head = np.concatenate(heads)
        order = np.argsort(by_head)
        return _Numbers(by_head[order], np.concatenate(places)[order])


def _head(hashed: str) -> int:
    return int(hashed[:16], 16)
