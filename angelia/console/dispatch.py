"""What has become of a plan's messages so far, by hour, channel and campaign.

Grain: manifest row, as `angelia ledger status` counts it; the totals are equal. Reads seals, manifests,
intents and outcomes of main; writes and seals nothing. Outcome objects are never changed, so what a part's
objects say is kept under their numbers, and a busy page reads only what is new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt

from angelia.console.engine import Engine
from angelia.contracts.outcomes import ACCEPTED, AMBIGUOUS, DEFERRED, REJECTED, SKIPPED
from angelia.contracts.sending import PLAN_LIFE_DAYS
from angelia.delivery.clock import lease_now
from angelia.delivery.ledger import compaction
from angelia.delivery.ledger.ledger import Ledger, Owner
from angelia.delivery.manifest.families import families
from angelia.delivery.manifest.parts import Part
from angelia.delivery.manifest.rows import columns_of
from angelia.lake import Lake

OUTCOMES = (ACCEPTED, REJECTED, SKIPPED, AMBIGUOUS, DEFERRED)
OPEN = "open"  # no outcome yet
RATE_MINUTES = 5
QUIET_S = 300  # nothing new for so long: nobody is sending
_MINUTE_US = 60_000_000


@dataclass(frozen=True)
class DispatchCell:
    """A campaign's messages in one hour by one channel: `outcomes` by word, the rest is open."""

    send_hour: str
    channel: str
    campaign_id: str
    planned: int
    outcomes: Mapping[str, int]

    @property
    def open(self) -> int:
        """Messages without an outcome."""
        return self.planned - sum(self.outcomes.values())


@dataclass(frozen=True)
class Tally:
    """Cells added up; `label` says over what, `states` are those of its hours."""

    label: str
    planned: int
    outcomes: Mapping[str, int]
    is_sending: bool = False
    is_past: bool = False

    @property
    def open(self) -> int:
        """Messages without an outcome."""
        return self.planned - sum(self.outcomes.values())

    @property
    def state(self) -> str:
        """Where it stands, in a word: a closed hour with open messages is never called done."""
        if not self.open:
            return "put off" if self.outcomes.get(DEFERRED) else "done"
        if self.is_sending:
            return "sending"
        return "unsent" if self.is_past else "later"


@dataclass
class Dispatch:
    """A plan's dispatch at one moment, in the numbers of `angelia ledger status`."""

    ds: str
    cells: list[DispatchCell] = field(default_factory=list)
    parts: int = 0
    parts_done: int = 0
    rows: int = 0
    open_intents: int = 0
    rows_intended: int = 0
    minutes: Counter[int] = field(default_factory=Counter)
    now: datetime = datetime.min

    @cached_property
    def outcomes(self) -> Counter[str]:
        """Rows by outcome; asked for only once all cells are there."""
        total: Counter[str] = Counter()
        for cell in self.cells:
            total.update(cell.outcomes)
        return total

    @property
    def rows_open(self) -> int:
        """Rows without an outcome."""
        return self.rows - sum(self.outcomes.values())

    @property
    def newest(self) -> datetime | None:
        """When the newest outcome was known, on the plan's clock."""
        return datetime.fromtimestamp(max(self.minutes) * 60, UTC) if self.minutes else None

    @property
    def is_sending(self) -> bool:
        """Whether somebody is at it: rows are open, and either intended or concluded a moment ago."""
        newest = self.newest
        recent = newest is not None and 0 <= (self.now - newest).total_seconds() < QUIET_S
        return self.rows_open > 0 and (self.open_intents > 0 or recent)

    @property
    def rate_per_minute(self) -> float | None:
        """Outcomes a minute over the newest minutes that had any; None if nobody is sending."""
        if not self.is_sending or not self.minutes:
            return None
        last = max(self.minutes)
        window = [n for minute, n in self.minutes.items() if last - RATE_MINUTES < minute <= last]
        first = min(minute for minute in self.minutes if last - RATE_MINUTES < minute)
        return sum(window) / (last - first + 1)

    def seconds_to_go(self, cells: Sequence[DispatchCell]) -> float | None:
        """Return how long the open rows of hours that have begun take; None if nobody knows."""
        rate, began = self.rate_per_minute, f"{self.now:%Y-%m-%dT%H}"
        waiting = sum(cell.open for cell in cells if cell.send_hour <= began)
        return 60.0 * waiting / rate if rate else None

    def by(self, name: str, cells: Iterable[DispatchCell]) -> list[Tally]:
        """Return cells added up by `send_hour`, `channel` or `campaign_id`, in order of the label."""
        planned: Counter[str] = Counter()
        outcomes: dict[str, Counter[str]] = {}
        waiting: dict[str, set[str]] = {}
        for cell in cells:
            label = str(getattr(cell, name))
            planned[label] += cell.planned
            outcomes.setdefault(label, Counter()).update(cell.outcomes)
            if cell.open:
                waiting.setdefault(label, set()).add(cell.send_hour)
        now = f"{self.now:%Y-%m-%dT%H}"
        tallies = []
        for label, n in sorted(planned.items()):
            hours = waiting.get(label, set())
            is_sending = self.is_sending and any(hour <= now for hour in hours)
            tallies.append(Tally(label, n, outcomes[label], is_sending, any(hour < now for hour in hours)))
        return tallies


@dataclass(frozen=True)
class _Known:
    """What a part and its follow-ups have come to."""

    planned: Mapping[str, int]
    outcomes: Mapping[str, Mapping[str, int]]
    minutes: Mapping[int, int]
    open_intents: int
    rows_intended: int


def nights(lake: Lake) -> list[str]:
    """Return the days with manifests, newest first."""
    return [leaf["ds"] for leaf in reversed(lake.partitions("dispatch_manifest"))]


def recent_nights(lake: Lake) -> list[str]:
    """Return the newest nights, as many as may still be sent and a week more."""
    return nights(lake)[: PLAN_LIFE_DAYS + 7]


def dispatch_of(engine: Engine, lake: Lake, ds: str) -> Dispatch:
    """Return where a plan's dispatch stands.

    Raises:
        NotFound: the day has no manifest.
        Corrupt: a seal, a follow-up or an outcome is damaged.
    """
    ledger = Ledger(lake.store, Owner.this_process(), lease_now)
    result = Dispatch(ds, now=engine.now())
    totals: dict[tuple[str, str, str], tuple[int, Counter[str]]] = {}
    for _, family in families(lake, ds):
        root, ids = family[0], tuple(part.id for part in family)
        # Intents and outcomes are only ever added: equal numbers, equal knowledge.
        intended = tuple(len(lake.store.children(f"intents/{name}")) for name in ids)
        key = ("family", lake.store.url, ids, ledger.written(ids), intended)
        known = engine.kept(key, lambda family=family: _look(engine, lake, ledger, family))  # type: ignore[misc]
        result.rows += root.n_rows
        result.minutes.update(known.minutes)
        for campaign, planned in known.planned.items():
            cell = (root.send_hour, root.channel, campaign)
            before, outcomes = totals.get(cell, (0, Counter()))
            totals[cell] = before + planned, outcomes + Counter(known.outcomes.get(campaign, {}))
        result.open_intents += known.open_intents
        result.rows_intended += known.rows_intended
        result.parts += len(family)
        result.parts_done += sum(_is_done(engine, ledger, part) for part in family)
    result.cells = [
        DispatchCell(*cell, planned, outcomes) for cell, (planned, outcomes) in sorted(totals.items())
    ]
    return result


def _is_done(engine: Engine, ledger: Ledger, part: Part) -> bool:
    """Return whether a part is finished; once it is, it is not asked for again."""

    def require() -> bool:
        if not ledger.is_done(part.id):
            raise _NotDoneError
        return True

    try:
        return engine.kept(("done", ledger.store.url, part.id), require)
    except _NotDoneError:
        return False


class _NotDoneError(Exception):
    pass


def _open_intents(ledger: Ledger, family: Sequence[Part]) -> tuple[int, int]:
    """Return intents without outcomes, and their rows."""
    n = rows = 0
    for part in family:
        concluded = ledger.batches_with_outcomes(part.id)
        for k, intents in ledger.intents(part.id).items():
            if k not in concluded:
                n, rows = n + 1, rows + intents[0].rows
    return n, rows


def _look(engine: Engine, lake: Lake, ledger: Ledger, family: Sequence[Part]) -> _Known:
    names, codes = engine.kept(("campaigns", family[0].entry.sha256), lambda: _campaigns(lake, family[0]))
    planned = np.bincount(codes, minlength=len(names))
    best = compaction.merged(ledger, family, ("row", "outcome", "n_attempts", "at_us"))
    words = best["outcome"].combine_chunks().dictionary_encode()
    rows, at = best["row"].to_numpy(), best["at_us"].to_numpy()
    outcomes: dict[str, Counter[str]] = {}
    for code, word in enumerate(words.dictionary.to_pylist()):
        of_word = np.bincount(codes[rows[words.indices.to_numpy() == code]], minlength=len(names))
        for name, n in zip(names, of_word.tolist(), strict=True):
            if n:
                outcomes.setdefault(name, Counter())[word] = n
    minutes, n_each = np.unique(at // _MINUTE_US, return_counts=True)
    return _Known(
        {name: n for name, n in zip(names, planned.tolist(), strict=True) if n},
        outcomes,
        dict(zip(minutes.tolist(), n_each.tolist(), strict=True)),
        *_open_intents(ledger, family),
    )


def _campaigns(lake: Lake, root: Part) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the campaigns of a manifest file, and each row's position among them."""
    column = (
        columns_of(lake, root.entry, ("campaign_id",))["campaign_id"].combine_chunks().dictionary_encode()
    )
    return column.dictionary.to_pylist(), column.indices.to_numpy().astype(np.int64)
