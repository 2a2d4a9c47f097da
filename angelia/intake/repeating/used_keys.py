"""Idempotency keys of an SQLite database: written in runs, looked up in memory.

Grain: run, the keys of the messages that one transaction kept. Clients' keys lie anywhere in an index, so
each new one dirtied a page of 4 KiB, which was written to the log and again to the file; a run is written at
the end of its table, 24 bytes a key. A process holds 8 bytes of each key's hash with the number of its run:
12 bytes a key, and 65,536 of the newest in a dictionary.

Surprise: SQLite has one writer at a time. What a process does not hold yet it reads inside its own writing
transaction, before it judges a key, so no unique index is needed for two processes to agree.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from angelia.intake.tables import key_runs

Hashes = npt.NDArray[np.uint64]
Runs = npt.NDArray[np.uint32]
_HASH, _ID = 8, 16  # bytes of an entry: all hashes of a run stand first, then all ids
_YOUNG = 65_536  # keys in the dictionary, to which a group is added without moving the others
_GROWTH = 4  # an array is merged with the one before unless that is so many times as long
_AT_ONCE = 500  # runs a statement
_INSERT = "INSERT INTO intake_key_runs (packed) VALUES (?)"
_NEWER = "SELECT number, packed FROM intake_key_runs WHERE number > ? ORDER BY number"


class UsedKeys:
    """The keys that messages of all clients bear, as one process knows them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0  # the newest run that is held
        self._young: dict[int, int] = {}
        self._old: list[tuple[Hashes, Runs]] = []

    @property
    def has_read(self) -> bool:
        """Say whether runs were read before."""
        return self._last > 0

    def catch_up(self, connection: Connection) -> None:
        """Read the runs that others, or earlier transactions of this process, have written."""
        with self._lock:
            for number, packed in connection.exec_driver_sql(_NEWER, (self._last,)):
                self._add(_hashes(packed).tolist(), number)
                self._last = number

    def bearers(self, connection: Connection, keys: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
        """Return the ids of messages that may bear these keys, by client; their rows decide.

        Args:
            connection: in a transaction that writes, so that nobody adds keys before it ends.
            keys: hashes of keys (hex digits) by client.
        """
        self.catch_up(connection)
        ids: dict[str, list[str]] = {}
        for client, hashes in keys.items():
            asked = _short(list(hashes)) ^ _of_client(client)
            runs = self._runs_of(asked)
            if runs:
                ids[client] = [
                    packed[at : at + _ID].hex()
                    for packed in _read(connection, runs)
                    for at in _places(packed, np.isin(_hashes(packed), asked))
                ]
        return ids

    def _runs_of(self, asked: Hashes) -> list[int]:
        """Return the numbers of the runs that have one of these hashes."""
        with self._lock:
            runs = {run for each in asked.tolist() if (run := self._young.get(each)) is not None}
            for hashes, numbers in self._old:
                first = np.searchsorted(hashes, asked)
                is_here = hashes[np.minimum(first, len(hashes) - 1)] == asked
                # Seldom any: each comes from a repeated request, or from a message that is gone.
                for at in first[is_here].tolist():
                    end = np.searchsorted(hashes, hashes[at], "right")
                    runs.update(numbers[at:end].tolist())
        return sorted(runs)

    def _add(self, hashes: list[int], number: int) -> None:
        # The dictionary has one run a hash; one that comes again, after its message expired, keeps both.
        if len(self._young) >= _YOUNG or not self._young.keys().isdisjoint(hashes):
            self._settle()
        self._young.update(zip(hashes, repeat(number)))

    def _settle(self) -> None:
        """Move the dictionary into a sorted array, and merge arrays so that few are looked through."""
        if not self._young:
            return
        hashes = np.fromiter(self._young.keys(), np.uint64, len(self._young))
        numbers = np.fromiter(self._young.values(), np.uint32, len(self._young))
        self._young = {}
        while self._old and len(self._old[-1][0]) < _GROWTH * len(hashes):
            before, their_numbers = self._old.pop()
            hashes, numbers = np.concatenate([before, hashes]), np.concatenate([their_numbers, numbers])
        order = np.argsort(hashes, kind="stable")
        self._old.append((hashes[order], numbers[order]))


def keep(connection: Connection, rows: Iterable[Mapping[Any, Any]]) -> None:
    """Write the keys of messages that are being kept, as one run."""
    keyed = [row for row in rows if row["key_hash"] is not None]
    if keyed:
        # Clients that use equal keys have different hashes, and never ask for each other's messages.
        of_client = np.array([_of_client(row["client"]) for row in keyed], np.uint64)
        hashes = _short([row["key_hash"] for row in keyed]) ^ of_client
        packed = hashes.astype("<u8").tobytes() + bytes.fromhex("".join([row["id"] for row in keyed]))
        # By the driver: SQLAlchemy's own insert costs a small group more than its messages do.
        connection.exec_driver_sql(_INSERT, (packed,))


def wipe(connection: Connection, ids: Iterable[str]) -> None:
    """Put zeros in the place of these messages' keys."""
    wanted = {bytes.fromhex(each) for each in ids}
    if not wanted:
        return
    begins = np.array([int.from_bytes(each[:8], "big") for each in wanted], np.uint64)
    for number, packed in _all_runs(connection):
        places = _places(packed, np.isin(_begins(packed), begins))
        changed = bytearray(packed)
        first = len(packed) // (_HASH + _ID) * _HASH
        for at in places:
            if packed[at : at + _ID] in wanted:
                entry = (at - first) // _ID * _HASH
                changed[entry : entry + _HASH] = bytes(_HASH)
        if changed != packed:
            change = sa.update(key_runs).where(key_runs.c.number == number)
            connection.execute(change.values(packed=bytes(changed)))


def ids_by_run(connection: Connection, before_id: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each run all of whose ids are older than an id, with them."""
    border = int(before_id[:12].ljust(16, "0"), 16)
    for number, packed in _all_runs(connection):
        if int(_begins(packed).max()) < border:
            first = len(packed) // (_HASH + _ID) * _HASH
            yield number, [packed[at : at + _ID].hex() for at in range(first, len(packed), _ID)]


def _short(key_hashes: Sequence[str]) -> Hashes:
    """Return the first 8 of the 32 bytes of each key's hash."""
    return np.frombuffer(bytes.fromhex("".join(key_hashes)), ">u8")[::4].astype(np.uint64)


def _hashes(packed: bytes) -> Hashes:
    """Return the hashes of a run; 0 stands where one was wiped."""
    return np.frombuffer(packed, "<u8", len(packed) // (_HASH + _ID))


def _begins(packed: bytes) -> Hashes:
    """Return the first halves of a run's ids."""
    return np.frombuffer(packed, ">u8", offset=len(packed) // (_HASH + _ID) * _HASH)[::2]


def _places(packed: bytes, chosen: npt.NDArray[np.bool_]) -> list[int]:
    """Return where the ids of chosen entries begin."""
    first = len(packed) // (_HASH + _ID) * _HASH
    return [first + _ID * entry for entry in np.flatnonzero(chosen).tolist()]


def _read(connection: Connection, numbers: Sequence[int]) -> Iterator[bytes]:
    for start in range(0, len(numbers), _AT_ONCE):
        part = key_runs.c.number.in_(numbers[start : start + _AT_ONCE])
        yield from connection.execute(sa.select(key_runs.c.packed).where(part)).scalars()


def _all_runs(connection: Connection) -> Iterator[tuple[int, bytes]]:
    """Yield all runs, some at a time, so that rows may be changed meanwhile."""
    last = 0
    while rows := connection.exec_driver_sql(f"{_NEWER} LIMIT {_AT_ONCE}", (last,)).all():
        yield from ((number, packed) for number, packed in rows)
        last = rows[-1][0]


@lru_cache(maxsize=1_024)
def _of_client(client: str) -> np.uint64:
    return np.uint64(int.from_bytes(sha256(client.encode()).digest()[:8], "big"))
