"""Sorted runs of 64-bit prefixes: which places hold an id, in a few page reads a run.

Grain: id and place. A place is any text (here hour and part of a ledger). Reads and writes one folder, a file
a run; without a folder everything stays in memory. Runs of similar size are merged, so there are few of them,
and a row is rewritten about log2(rows) times. Surprise: a prefix says only where an id may stand; the caller
reads the id itself there. A damaged run is deleted, and its places are read again.
"""

from __future__ import annotations

import json
import secrets
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]
# A merge holds two runs and their order, 24 bytes a row: with this bound about 200 MB.
MAX_ROWS = 1 << 22
_FLUSH_ROWS = 1 << 20
_DIGITS = 16  # hex digits of a prefix
_HEX = np.full(256, 255, np.uint8)
_HEX[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16, dtype=np.uint8)


def prefixes(ids: pa.Array) -> U64:
    """Return the first 64 bits of ids of 32 hex digits, shape (n,).

    Raises:
        ValueError: one is no such id.
    """
    n = len(ids)
    if not n:
        return np.empty(0, np.uint64)
    offsets, data = (np.frombuffer(ids.buffers()[i], kind) for i, kind in ((1, np.int32), (2, np.uint8)))
    offsets = offsets[ids.offset : ids.offset + n + 1]
    digits = data[offsets[0] : offsets[-1]]
    if ids.null_count or (np.diff(offsets) != 32).any():
        raise ValueError("an id is not 32 hex digits long")
    values = _HEX[digits.reshape(n, 32)[:, :_DIGITS]]
    if (values == 255).any():
        raise ValueError("an id is not of hex digits")
    return np.ascontiguousarray(values[:, 0::2] << 4 | values[:, 1::2]).view(">u8").ravel().astype(np.uint64)


@dataclass(frozen=True, eq=False)
class SortedRun:
    """Rows of one file: keys, and where each stands."""

    keys: U64  # sorted
    at: U32  # index into `places`
    places: tuple[str, ...]
    path: Path | None = None


class Runs:
    """An index of one folder; `places` are those it knows.

    A place is added once, with all its ids.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._runs: list[SortedRun] = []
        self.places: set[str] = set()
        files = folder.glob("*.run") if folder is not None and folder.is_dir() else ()
        # Names begin with the number of rows: a whole is read before the halves it was merged from.
        for path in sorted(files, reverse=True):
            self._load(path)

    def add(self, keys_of: Mapping[str, U64]) -> None:
        """Add places with the prefixes of their ids."""
        keys = np.concatenate([np.empty(0, np.uint64), *keys_of.values()])
        at = np.repeat(np.arange(len(keys_of), dtype=np.uint32), [len(own) for own in keys_of.values()])
        new, halves = _sorted(keys, at, keys_of), list[SortedRun]()
        # A run no larger than twice the new one is merged into it, so sizes at least double from run to run.
        for run in sorted(self._runs, key=lambda run: len(run.keys)):
            if len(run.keys) > 2 * len(new.keys) or len(run.keys) + len(new.keys) > MAX_ROWS:
                break
            new = _merge(run, new)
            halves.append(run)
        self._runs = [run for run in self._runs if run not in halves] + [self._kept(new)]
        self.places |= keys_of.keys()
        for run in halves:
            if run.path is not None:
                run.path.unlink(missing_ok=True)

    def find(self, keys: U64) -> dict[str, list[int]]:
        """Return the places that may hold a key, each with positions in `keys`."""
        hits: dict[str, list[int]] = {}
        for run in self._runs:
            first, last = (np.searchsorted(run.keys, keys, side) for side in ("left", "right"))
            for position in np.flatnonzero(last > first).tolist():
                for place in set(run.at[first[position] : last[position]].tolist()):
                    hits.setdefault(run.places[place], []).append(position)
        return hits

    def _kept(self, run: SortedRun) -> SortedRun:
        """Write a run to the folder, and map it into memory from there."""
        if self._folder is None:
            return run
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        batch = pa.record_batch({"key": run.keys, "at": run.at})
        batch = batch.replace_schema_metadata({"places": json.dumps(run.places)})
        temporary = self._folder / f"{secrets.token_hex(8)}.tmp"
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
        path = self._folder / f"{len(run.keys):010d}-{_crc(temporary)}-{temporary.stem}.run"
        return _read(temporary.rename(path))

    def _load(self, path: Path) -> None:
        """Take a run in; one that is damaged, or has no place of its own, is deleted."""
        try:
            run = _read(path) if _crc(path) == path.name.split("-")[1] else None
        except (OSError, ValueError, KeyError, TypeError, IndexError, pa.ArrowInvalid):
            run = None
        if run is not None and not self.places.issuperset(run.places):
            self._runs.append(run)
            self.places |= set(run.places)
        else:
            with suppress(OSError):
                path.unlink()


class Adding:
    """Gathers places, and adds them to the index a million rows at a time."""

    def __init__(self, runs: Runs) -> None:
        self._runs, self._keys, self._n_rows = runs, dict[str, U64](), 0

    def add(self, place: str, number: int, keys: Sequence[U64], is_again: bool = False) -> None:
        """Add a place by its commit's number; `is_again`: an earlier commit of it is known."""
        name = f"{place}@{number}"
        if name in self._runs.places:
            return
        own = np.concatenate([np.empty(0, np.uint64), *keys])
        if is_again:
            own = self._new_in(place, own)
        self._keys[name] = own
        self._n_rows += len(own)
        if self._n_rows >= _FLUSH_ROWS:
            self.flush()

    def _new_in(self, place: str, keys: U64) -> U64:
        """Return the keys that no earlier commit of a place had, which are mostly none."""
        is_new = np.ones(len(keys), bool)
        for name, positions in self._runs.find(keys).items():
            if name.partition("@")[0] == place:
                is_new[positions] = False
        return keys[is_new]

    def flush(self) -> None:
        """Write what was gathered."""
        if self._keys:
            self._runs.add(self._keys)
        self._keys, self._n_rows = {}, 0


def _read(path: Path) -> SortedRun:
    batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
    places = json.loads(batch.schema.metadata[b"places"])
    keys, at = (batch.column(name).to_numpy(zero_copy_only=True) for name in ("key", "at"))
    return SortedRun(keys, at, tuple(places), path)


def _crc(path: Path) -> str:
    """Return a file's checksum; being read, its pages are not this process's memory."""
    total = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            total = zlib.crc32(chunk, total)
    return f"{total:08x}"


def _sorted(keys: U64, at: U32, places: Iterable[str]) -> SortedRun:
    # A stable sort of runs that are sorted already is a merge.
    order = np.argsort(keys, kind="stable")
    return SortedRun(keys[order], at[order], tuple(places))


def _merge(left: SortedRun, right: SortedRun) -> SortedRun:
    keys = np.concatenate([left.keys, right.keys])
    at = np.concatenate([left.at, right.at + np.uint32(len(left.places))])
    return _sorted(keys, at, (*left.places, *right.places))
