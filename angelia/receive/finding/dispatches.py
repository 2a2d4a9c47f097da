"""Facts of dispatches by id, from ledgers, or from sealed manifests without one.

Grain: dispatch. Reads `delivery_ledger`, seals, `dispatch_manifest`, `dispatch_intake`, `dispatch_fallover`;
writes an index below a local folder. Each ledger is read once, then only the row groups that may hold a
wanted id. Surprise: a ledger that is committed again with more rows is noticed within a minute; a day that
can send no more is listed once an hour. The index of a day goes when nothing is asked of it any more.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from angelia.contracts.sending import ANSWERED_DAYS, PLAN_LIFE_DAYS
from angelia.delivery.manifest import parts
from angelia.delivery.manifest.batches import is_of_batch, sealed_batch
from angelia.delivery.manifest.parts import Part
from angelia.delivery.manifest.rows import columns_of, rows_by_id
from angelia.errors import AngeliaError, Corrupt
from angelia.lake import FileEntry, Lake
from angelia.lake.commit import leaf_folder
from angelia.lake.keys import lake_key
from angelia.lake.lake import MAIN
from angelia.receive.finding.runs import U64, Adding, Runs, prefixes

log = logging.getLogger(__name__)

FACTS = ("dispatch_id", "message_id", "user_id", "campaign_id", "material_id", "channel")
Facts = dict[str, Any]  # FACTS, and `ds`, `place`; of a ledger `sent_ts` too
_AGAIN, _AGAIN_OLD = timedelta(minutes=1), timedelta(hours=1)


@contextmanager
def readable(counts: Counter[str]) -> Iterator[None]:
    """Count an unreadable day, hour or part, and go on.

    It must not hold back everybody else's opt-outs; its own are looked for again.
    """
    try:
        yield
    except (AngeliaError, OSError) as error:
        log.error("a plan's day or hour could not be read while folding: %s", type(error).__name__)
        counts["unreadable"] += 1


def index_folder(lake: Lake, home: Path) -> Path | None:
    """Return the folder of a lake's index; None, so in memory, if the lake's name is damaged.

    The folder is named by an id that the lake itself holds: another lake at the same address has other
    ledgers.
    """
    try:
        name = hashlib.sha256(lake_key(lake.store, "dispatches")).hexdigest()[:16]
    except Corrupt as error:
        log.error("%s", error.one_line())
        return None
    return home / "cache" / "dispatches" / name


class Dispatches:
    """Finds dispatches of one lake; it knows which ledgers it has seen, so keep it.

    Without a folder the index is in memory, and made anew by each process.
    """

    def __init__(self, lake: Lake, folder: Path | None = None) -> None:
        self._lake, self._folder = lake, folder
        self._runs: dict[tuple[str, str], Runs] = {}
        self._looked_at: dict[tuple[str, str], datetime] = {}
        self._forgot_at: datetime | None = None

    def ledger_days(self) -> list[str]:
        """Return the plan days that have a ledger, newest first."""
        names = self._lake.store.children(leaf_folder(MAIN, "delivery_ledger", {}))
        return sorted((name.removeprefix("ds=") for name in names if name.startswith("ds=")), reverse=True)

    def sent(
        self, wanted: set[str], days: Iterable[str], now: datetime, counts: Counter[str]
    ) -> dict[str, Facts]:
        """Return the facts of dispatches in a committed ledger: plan day and first sending instant."""
        sent: dict[str, Facts] = {}
        for ds in days:
            if wanted <= sent.keys():
                break
            with readable(counts):
                self._take_ledgers(ds, now, counts)
            for place, ids in self._where("ledger", ds, wanted - sent.keys()).items():
                hour, part = _names(place)
                with readable(counts):
                    commit = self._lake.require("delivery_ledger", ds=ds, send_hour=hour, part=part)
                    for entry in commit.files:
                        for row in rows_by_id(self._lake, entry, (*FACTS, "sent_ts"), ids):
                            if row["sent_ts"] is not None or row["dispatch_id"] not in sent:
                                sent[row["dispatch_id"]] = {**row, "ds": ds, "place": place}
        return sent

    def planned(
        self, wanted: set[str], days: Iterable[str], now: datetime, counts: Counter[str]
    ) -> dict[str, Facts]:
        """Return the facts of dispatches that stand in sealed hours, and in no ledger yet."""
        planned: dict[str, Facts] = {}
        for ds in days:
            if wanted <= planned.keys():
                break
            with readable(counts):
                self._take_manifests(ds, now, counts)
            for place, ids in self._where("manifest", ds, wanted - planned.keys()).items():
                with readable(counts):
                    for row in self._manifest_rows(ds, place, FACTS, ids):
                        planned[row["dispatch_id"]] = {**row, "ds": ds, "place": place}
        return planned

    def forget(self, now: datetime) -> list[str]:
        """Delete, once an hour, the index of days that are asked of no more; return them.

        Of manifests and lists these are days that are not answered any more; of ledgers days whose ledgers
        have all expired, for an opt-out may be as old as any ledger that stands.
        """
        if self._forgot_at is not None and timedelta() <= now - self._forgot_at < _AGAIN_OLD:
            return []
        self._forgot_at, gone = now, list[str]()
        first = str(now.astimezone(UTC).date() - timedelta(days=ANSWERED_DAYS))
        for kind in ("ledger", "manifest", "list"):
            folder = self._folder / kind if self._folder else None
            on_disk = {path.name for path in folder.iterdir()} if folder and folder.is_dir() else set()
            for ds in sorted(on_disk | {day for of, day in self._runs if of == kind}):
                if ds >= first or (kind == "ledger" and self._lake.partitions("delivery_ledger", ds=ds)):
                    continue
                self._runs.pop((kind, ds), None)
                self._looked_at.pop((kind, ds), None)
                if folder is not None:
                    shutil.rmtree(folder / ds, ignore_errors=True)
                gone.append(f"{kind}/{ds}")
        return gone

    def addresses(self, facts: Iterable[Mapping[str, Any]]) -> dict[str, str]:
        """Return the addresses of dispatches whose manifest still stands."""
        ids_of: dict[tuple[str, str], list[str]] = {}
        for row in facts:
            ids_of.setdefault((row["ds"], row["place"]), []).append(row["dispatch_id"])
        addresses: dict[str, str] = {}
        for (ds, place), ids in ids_of.items():
            with readable(Counter()):
                rows = self._manifest_rows(ds, place, ("dispatch_id", "address"), ids)
                addresses |= {row["dispatch_id"]: row["address"] for row in rows}
        return addresses

    def _where(self, kind: str, ds: str, wanted: set[str]) -> dict[str, list[str]]:
        """Return the places of a day that may hold an id, without their commit's number."""
        ids = sorted(wanted)
        where: dict[str, list[str]] = {}
        for place, positions in self._of(kind, ds).find(prefixes(pa.array(ids, pa.string()))).items():
            where.setdefault(place.partition("@")[0], []).extend(ids[position] for position in positions)
        return where

    def _of(self, kind: str, ds: str) -> Runs:
        if (kind, ds) not in self._runs:
            self._runs[kind, ds] = Runs(self._folder / kind / ds if self._folder else None)
        return self._runs[kind, ds]

    def _take_ledgers(self, ds: str, now: datetime, counts: Counter[str]) -> None:
        """Add the ledgers of a day that are not in the index."""
        is_due, is_live = self._is_due("ledger", ds, now)
        if not (is_due or is_live):
            return
        runs, known = self._of("ledger", ds), self._numbers("ledger", ds)
        adding = Adding(runs)
        # Listed without asking each for its commits: those known are looked at once a minute only.
        for leaf in self._lake.leaves(MAIN, "delivery_ledger", {"ds": ds}, expired=True):
            place = f"{leaf['send_hour']}/{leaf['part']}"
            if place in known and not (is_due and is_live):
                continue
            with readable(counts):
                number = max(self._lake.numbers(MAIN, "delivery_ledger", leaf), default=0)
                if number > known.get(place, 0):
                    commit = self._lake.load(MAIN, "delivery_ledger", leaf, number)
                    keys = [_keys_of(self._lake, entry) for entry in commit.files]
                    adding.add(place, number, keys, is_again=place in known)
        adding.flush()

    def _take_manifests(self, ds: str, now: datetime, counts: Counter[str]) -> None:
        """Add the parts of a day's sealed hours; parts with a ledger are found there."""
        is_due, _ = self._is_due("manifest", ds, now)
        known, in_ledger = self._numbers("manifest", ds), self._numbers("ledger", ds)
        hours = {place.partition("/")[0] for place in known}
        adding = Adding(self._of("manifest", ds))
        for hour in self._lake.store.children(f"seals/{ds}"):
            # A row may fall over into an hour that is known, so each is looked at again.
            if hour in hours and not is_due:
                continue
            with readable(counts):
                for part in parts.parts_of(self._lake, parts.standing_manifest(self._lake, ds, hour), hour):
                    place = f"{hour}/{part.leaf}"
                    if part.rows is None and place not in known and place not in in_ledger:
                        adding.add(place, part.manifest, [_keys_of(self._lake, part.entry)])
            # It is remembered also where each of its parts has a ledger.
            adding.add(f"{hour}/", 0, [])
        adding.flush()

    def _is_due(self, kind: str, ds: str, now: datetime) -> tuple[bool, bool]:
        """Say whether a day is to be looked through again, and whether it may still send."""
        is_live = ds >= (now.astimezone(UTC).date() - timedelta(days=PLAN_LIFE_DAYS)).isoformat()
        last = self._looked_at.get((kind, ds))
        is_due = last is None or not timedelta() <= now - last < (_AGAIN if is_live else _AGAIN_OLD)
        if is_due:
            self._looked_at[kind, ds] = now
        return is_due, is_live

    def _numbers(self, kind: str, ds: str) -> dict[str, int]:
        """Return the number of the newest commit known of each place."""
        numbers: dict[str, int] = {}
        for name in self._of(kind, ds).places:
            place, _, number = name.partition("@")
            numbers[place] = max(int(number), numbers.get(place, 0))
        return numbers

    def _manifest_rows(self, ds: str, place: str, columns: Sequence[str], ids: Sequence[str]) -> list[Facts]:
        hour, leaf = _names(place)
        return [
            row
            for part in self._parts(ds, hour, leaf)
            if part.rows is None and part.leaf == leaf
            for row in rows_by_id(self._lake, part.entry, columns, ids)
        ]

    def _parts(self, ds: str, hour: str, leaf: str) -> list[Part]:
        if not is_of_batch({"part": leaf}):
            return parts.parts_of(self._lake, parts.standing_manifest(self._lake, ds, hour), hour)
        commit = sealed_batch(self._lake, ds, hour, leaf.partition(".")[0])
        return [] if commit is None else parts.parts_of(self._lake, commit, hour)


def _names(place: str) -> tuple[str, str]:
    hour, _, part = place.partition("/")
    return hour, part


def _keys_of(lake: Lake, entry: FileEntry) -> U64:
    ids = columns_of(lake, entry, ["dispatch_id"])["dispatch_id"].combine_chunks()
    try:
        return prefixes(ids)
    except ValueError as error:
        raise Corrupt(f"{entry.path}: dispatch_id: {error}", fix="run `angelia lake verify`") from None
