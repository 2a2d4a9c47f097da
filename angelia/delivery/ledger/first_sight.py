"""Which payload a dispatch id was first seen with: any other under the same id is refused.

What decides a payload (channel, address, the template's text, field values, locale, …) is hashed per row into
the batch's intent, before anything is sent. Takeovers compare with the intent, follow-up parts with the bytes
that were sent. Other manifests are known by `sights/{channel}/{n}`: the first worker of a manifest part
leaves one before its first intent, numbered by conditional create, and looks at those with smaller numbers.
Grain: row. Surprise: parts of one manifest commit are not compared with each other (its contract says that a
dispatch id stands in it once), and what was seen longer ago than a plan may be due is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.outcomes import ACCEPTED, AMBIGUOUS, AT_MOST_ONCE
from angelia.contracts.sending import PLAN_LIFE_DAYS, Micros
from angelia.delivery.ledger import compaction, outcomes
from angelia.delivery.ledger.ledger import PAYLOAD_BYTES, Ledger
from angelia.delivery.manifest import parts
from angelia.delivery.manifest.families import families_of
from angelia.delivery.manifest.objects import create_json, fields_of, read_json
from angelia.delivery.manifest.parts import Part
from angelia.delivery.manifest.rows import columns_of
from angelia.errors import NotFound
from angelia.lake import Lake

LOOK_BACK_US: Micros = PLAN_LIFE_DAYS * 86_400 * 1_000_000
_GRACE_US: Micros = 900 * 1_000_000  # after a window closed, the last requests have their answers
OPEN = "open"  # somebody may still send it
Ids = npt.NDArray[np.bytes_]


def payload_hash(channel: str, template: bytes, column: Mapping[str, Sequence[Any]], i: int) -> bytes:
    """Return the hash (8 bytes) of everything that decides what row i's request says.

    `template` is the digest of the template's text.
    """
    names = (
        "address",
        "locale",
        "collapse_key",
        "ttl_s",
        "priority",
        "template_id",
        "template_version",
        "fields",
    )
    rest = "\x1f".join([channel, *(str(column[name][i]) for name in names)])
    return blake2b(rest.encode("utf-8", "surrogatepass"), digest_size=PAYLOAD_BYTES, key=template).digest()


@dataclass(frozen=True)
class Earlier:
    """What another manifest's part knows of a dispatch.

    Attributes:
        payload: its payload hash; None if it was never intended.
        outcome: what became of it; `open` while somebody may still send it.
    """

    payload: bytes | None
    outcome: str

    def forbids(self, guarantee: str) -> bool:
        """Say whether the same payload may not go from here.

        It was accepted, may still be sent, or may have arrived where once is all that is allowed.
        """
        return self.outcome in (OPEN, ACCEPTED) or (self.outcome == AMBIGUOUS and guarantee == AT_MOST_ONCE)


class SentBefore:
    """What a part and its follow-ups intended and sent before, by row of the manifest file."""

    def __init__(self, ledger: Ledger, family: Sequence[Part]) -> None:
        tables = [
            outcomes.read(data, ("row", "payload_sha256"))
            for part in family
            for data in ledger.read_outcomes(part.id)
        ]
        known = (
            pa.concat_tables(tables)
            if tables
            else outcomes.SCHEMA.empty_table().select(["row", "payload_sha256"])
        )
        known = known.filter(pc.is_valid(known["payload_sha256"]))
        self._intents = {k: standing[0] for k, standing in ledger.intents(family[0].id).items()}
        self._size = next((intent.size for intent in self._intents.values()), 1)
        rows = known["row"].to_numpy()
        self._rows, first = np.unique(rows, return_index=True)
        self._digests = known["payload_sha256"].take(pa.array(first))

    def payload(self, row: int) -> bytes | None:
        """Return the payload hash a row was first intended with."""
        intent = self._intents.get(row // self._size)
        return intent.payload(row % self._size) if intent else None

    def digests(self, rows: Sequence[int]) -> dict[int, bytes]:
        """Return the sha256 of what was sent of these rows (ascending), by position in the list."""
        if not len(self._rows):
            return {}
        at = np.searchsorted(self._rows, rows)
        held = np.flatnonzero(self._rows[np.minimum(at, len(self._rows) - 1)] == np.asarray(rows))
        return dict(zip(held.tolist(), self._digests.take(pa.array(at[held])).to_pylist(), strict=True))


class FirstSeen:
    """The first sights of one lake; a process reads each header once. `now` is plan time."""

    def __init__(self, lake: Lake, ledger: Ledger, now: Callable[[], Micros]) -> None:
        self._lake, self._ledger, self._now = lake, ledger, now
        self._headers: dict[str, dict[str, Any]] = {}

    def first(self, part: Part) -> dict[int, Earlier]:
        """Leave this part's sight; return what earlier parts of other manifests know of its rows.

        A message of the intake stands in one sealed batch only, so those parts leave none.

        Raises:
            Corrupt: a manifest file is unreadable, or the sight or the ledger of an earlier part is damaged.
        """
        if part.batch:
            return {}
        table = columns_of(self._lake, part.entry, ("campaign_id", "occurrence"))
        occurrences = table.group_by(["campaign_id", "occurrence"], use_threads=False).aggregate([])
        groups = sorted(f"{row['campaign_id']}/{row['occurrence']}" for row in occurrences.to_pylist())
        number = self._sight(part, groups)
        ids: Ids | None = None
        earliest: dict[int, Earlier] = {}
        for header in self._seen(part.channel, before=number):
            is_other = (header["ds"], header["manifest"]) != (part.ds, part.manifest)
            if is_other and not set(groups).isdisjoint(header["groups"]):
                if ids is None:
                    ids = _plain(columns_of(self._lake, part.entry, ("dispatch_id",))["dispatch_id"])
                earliest = {**self._shared(part, ids, header), **earliest}
        return earliest

    def _sight(self, part: Part, groups: Sequence[str]) -> int:
        """Return the part's number among its channel's sights, taking the next one if it has none."""
        folder = f"sights/{part.channel}"
        for header in self._seen(part.channel, before=None):
            if header["root"] == part.id:
                return int(header["number"])
        body = {
            "root": part.id,
            "ds": part.ds,
            "send_hour": part.send_hour,
            "manifest": part.manifest,
            "groups": list(groups),
            "at": self._ledger.lease_now(),
        }
        number = max((int(name) for name in self._lake.store.children(folder)), default=0) + 1
        while not create_json(self._lake.store, f"{folder}/{number:08d}", body):
            number += 1
        return number

    def _seen(self, channel: str, before: int | None) -> list[dict[str, Any]]:
        """Return the headers that are young enough, and numbered below `before`; oldest first."""
        young: list[dict[str, Any]] = []
        oldest = self._ledger.lease_now() - LOOK_BACK_US
        for name in reversed(self._lake.store.children(f"sights/{channel}")):
            key = f"sights/{channel}/{name}"
            if key not in self._headers:
                self._headers[key] = self._header(key, name)
            if self._headers[key]["at"] < oldest:
                break
            if before is None or int(name) < before:
                young.append(self._headers[key])
        return young[::-1]

    def _header(self, key: str, name: str) -> dict[str, Any]:
        raw = read_json(self._lake.store, key)
        with fields_of(key):
            words = {field: str(raw[field]) for field in ("root", "ds", "send_hour")}
            numbers = {"manifest": int(raw["manifest"]), "at": int(raw["at"]), "number": int(name)}
            return {**words, **numbers, "groups": [str(group) for group in raw["groups"]]}

    def _shared(self, part: Part, ids: Ids, header: Mapping[str, Any]) -> dict[int, Earlier]:
        """Return what an earlier part knows of the dispatches that both have."""
        try:
            commit = self._lake.as_of("dispatch_manifest", header["manifest"], ds=header["ds"])
            family = families_of(parts.parts_of(self._lake, commit, header["send_hour"])).get(header["root"])
            if family is None:
                return {}
            if family[0].damaged:
                raise family[0].damaged
            theirs = _plain(columns_of(self._lake, family[0].entry, ("dispatch_id",))["dispatch_id"])
        except NotFound:
            return {}  # expired: nothing of it can be sent any more
        _, mine, at = np.intersect1d(ids, theirs, return_indices=True)
        if not len(mine):
            return {}
        return dict(zip(mine.tolist(), self._known(family, at.tolist()), strict=True))

    def _known(self, family: Sequence[Part], rows: Sequence[int]) -> list[Earlier]:
        closed = parts.window(self._lake, family[0])[1] + _GRACE_US <= self._now()
        is_over = closed or all(self._ledger.is_done(part.id) for part in family)
        best = compaction.merged(self._ledger, family, outcomes.COUNTED)
        became = {
            row: (outcome, n)
            for row, outcome, n in zip(*(best[name].to_pylist() for name in outcomes.COUNTED), strict=True)
        }
        intents = {k: standing[0] for k, standing in self._ledger.intents(family[0].id).items()}
        size = next((intent.size for intent in intents.values()), 1)
        known = []
        for row in rows:
            intent = intents.get(row // size)
            outcome, n_attempts = became.get(row, (OPEN, 0))
            if not is_over and outcome != ACCEPTED:
                outcome = OPEN
            elif n_attempts == 0 and outcome != AMBIGUOUS:
                intent = None  # it is over and no byte of it ever left: there is no first payload
            known.append(Earlier(intent.payload(row % size) if intent else None, outcome))
        return known


def _plain(ids: pa.ChunkedArray) -> Ids:
    """Return hex ids as an array of 32 bytes each."""
    return np.array(ids.to_pylist(), dtype="S32")
