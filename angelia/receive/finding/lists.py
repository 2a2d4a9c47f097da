"""Which dispatch a message of a list is, by the list's id and the token.

Grain: message of a list. Reads `lists/` (the days and channels that sent lists), seals, `dispatch_manifest`
and `dispatch_fallover`; writes an index below a local folder. A message of a list is named by a hash of the
list's id and the token (`ids.listed_id`), so no address comes in here: the manifest's own addresses are
hashed, once a part. Surprise: a day without lists costs one listing a minute, whatever else came back.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Set
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from angelia.contracts.ids import list_id, listed_id
from angelia.contracts.sending import ANSWERED_DAYS
from angelia.delivery.manifest import parts
from angelia.delivery.manifest.parts import Part
from angelia.delivery.manifest.rows import columns_of
from angelia.lake import Lake
from angelia.receive.finding.dispatches import readable
from angelia.receive.finding.runs import Adding, Runs, prefixes

KIND = "list"  # the folder of the index, beside `ledger` and `manifest`
_COLUMNS = ("dispatch_id", "campaign_id", "occurrence", "address")
_HELD_ROWS = 1 << 21  # 64 bytes a row: 128 MiB of the parts that were asked about last
_AGAIN = timedelta(minutes=1)
Names = npt.NDArray[np.bytes_]


class Lists:
    """Finds dispatches of lists in one lake; it knows which parts it has seen, so keep it."""

    def __init__(self, lake: Lake, folder: Path | None = None) -> None:
        self._lake, self._folder = lake, folder / KIND if folder else None
        self._runs: dict[str, Runs] = {}
        self._held: OrderedDict[tuple[str, str], tuple[Names, Names]] = OrderedDict()
        self._looked_at: datetime | None = None
        self._days: dict[str, frozenset[str]] = {}

    def of(self, wanted: Set[str], now: datetime, counts: Counter[str]) -> dict[str, str]:
        """Return the dispatches of the names that are messages of lists."""
        with readable(counts):
            self._look(now, counts)
        names, dispatches = sorted(wanted) if self._days else [], dict[str, str]()
        for ds in self._days if names else ():
            for place, positions in self._of(ds).find(prefixes(pa.array(names, pa.string()))).items():
                with readable(counts):
                    # A prefix says only where a name may stand.
                    dispatches |= self._in_part(ds, place, [names[position] for position in positions])
        return dispatches

    def _look(self, now: datetime, counts: Counter[str]) -> None:
        """Add the parts that were sealed since; forget days that nobody answers any more."""
        if self._looked_at is not None and timedelta() <= now - self._looked_at < _AGAIN:
            return
        self._looked_at = now
        first = str(now.astimezone(UTC).date() - timedelta(days=ANSWERED_DAYS))
        days = [ds for ds in self._lake.store.children("lists") if ds >= first]
        self._days = {ds: frozenset(self._lake.store.children(f"lists/{ds}")) for ds in days}
        self._runs = {ds: runs for ds, runs in self._runs.items() if ds in self._days}
        for ds in days:
            with readable(counts):
                self._take(ds, counts)

    def _take(self, ds: str, counts: Counter[str]) -> None:
        adding = Adding(self._of(ds))
        for hour in self._lake.store.children(f"seals/{ds}"):
            with readable(counts):
                for part in self._parts(ds, hour):
                    place = f"{hour}/{part.leaf}"
                    # A sealed hour's parts never change, so each is read once.
                    if f"{place}@0" not in self._runs[ds].places:
                        names, _ = self._named(ds, place, part)
                        adding.add(place, 0, [prefixes(pa.array(names.astype(str), pa.string()))])
        adding.flush()

    def _parts(self, ds: str, hour: str) -> Iterator[Part]:
        for part in parts.parts_of(self._lake, parts.standing_manifest(self._lake, ds, hour), hour):
            if part.rows is None and part.channel in self._days[ds]:
                yield part

    def _in_part(self, ds: str, place: str, wanted: Iterable[str]) -> dict[str, str]:
        place, asked = place.partition("@")[0], np.array(list(wanted), "S32")
        held = self._held.get((ds, place))
        if held is None:
            hour = place.partition("/")[0]
            (part,) = (part for part in self._parts(ds, hour) if f"{hour}/{part.leaf}" == place)
            held = self._named(ds, place, part)
        names, dispatches = held
        at = np.minimum(np.searchsorted(names, asked), len(names) - 1)
        hits = names[at] == asked
        pairs = zip(asked[hits].astype(str).tolist(), dispatches[at][hits].astype(str).tolist(), strict=True)
        return dict(pairs)

    def _named(self, ds: str, place: str, part: Part) -> tuple[Names, Names]:
        """Return a part's names in lists, sorted, and their dispatches; kept for the next question."""
        rows = columns_of(self._lake, part.entry, list(_COLUMNS))
        shared = (list_id(c, o, part.channel) for c, o in _pairs(rows, "campaign_id", "occurrence"))
        addressed = zip(shared, _pairs(rows, "address", "dispatch_id"), strict=True)
        named = sorted((listed_id(of, address), own) for of, (address, own) in addressed if of is not None)
        names, dispatches = (np.array([pair[k] for pair in named], "S32") for k in (0, 1))
        self._held[ds, place] = names, dispatches
        self._held.move_to_end((ds, place))
        while len(self._held) > 1 and sum(len(held) for held, _ in self._held.values()) > _HELD_ROWS:
            self._held.popitem(last=False)
        return names, dispatches

    def _of(self, ds: str) -> Runs:
        if ds not in self._runs:
            self._runs[ds] = Runs(self._folder / ds if self._folder else None)
        return self._runs[ds]


def _pairs(rows: pa.Table, first: str, second: str) -> Iterator[tuple[Any, Any]]:
    return zip(rows[first].to_pylist(), rows[second].to_pylist(), strict=True)
