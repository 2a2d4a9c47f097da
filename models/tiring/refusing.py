"""Learn from all kept pushes how often people refuse, and how often the tired do.

Grain: push. Reads up to a year of user_pushes and push_receipts; writes nothing. A refusal is rare: three
weeks of a shop of thousands hold some forty, a year some six hundred. Older pushes count less, halved every
`HALF_LIFE` days. No leakage: what a push's person still felt is as of the day before it.

Surprise: hours are left out, since no curve of so long ago is kept; all pushes count as if their hours were
as good as those of the training examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.ids import uniform
from angelia.lake import Commit, Lake
from angelia.planning.later import FELT_DAYS
from models.behaviour import TIRED_DAYS
from models.tiring.within import Floats, Ints, RateEffect, conditional

KEPT_DAYS = 365
HALF_LIFE = 180.0
REFUSED = "unsubscribed"
UNKNOWN = 1000.0  # pushes without a refusal that stand before the counted ones
MOST_PUSHES = 2_000_000
_DAY_US = 86_400_000_000
_PUSH = ["ordinal", "message_id", "kind", "sent_ts"]


@dataclass(frozen=True)
class KeptPushes:
    """Pushes of the kept days, in order of person and time; all (m,).

    Attributes:
        felt: log(1 + messages still felt). age: days before the end of the night's day. is_refused: 1 or 0.
        inputs: the commits that were read.
    """

    felt: Floats
    age: Floats
    is_refused: Floats
    inputs: tuple[Commit, ...] = ()


def read_kept(lake: Lake, *, ds: str, days: int = KEPT_DAYS, most: int = MOST_PUSHES) -> KeptPushes:
    """Return the pushes of the `days` days up to ds.

    Of more than `most`, those of a share of the people."""
    end = date.fromisoformat(ds)
    first = (end - timedelta(days=days - 1)).isoformat()
    commits = [
        commit
        for leaf in lake.partitions("user_pushes")
        if first <= leaf["ds"] <= ds and (commit := lake.head("user_pushes", **leaf)) is not None
    ]
    share = min(1.0, most / max(sum(commit.rows for commit in commits), 1))
    refused, receipts = read_refusals(lake, ds=ds, cutoff=(end - timedelta(days=days)).isoformat())
    ordinals: list[Ints] = []
    sent: list[Ints] = []
    is_refused: list[Floats] = []

    def wanted(table: pa.Table) -> pa.Table:
        table = table.filter(pc.equal(table["kind"], "sent"))
        if share == 1.0:
            return table
        lot = uniform(table["ordinal"].to_numpy().astype(np.uint64), "models", "sample")
        return table.filter(pa.array(lot < share))

    for commit in commits:
        table = lake.read(commit, _PUSH, keep=wanted)
        ordinals.append(table["ordinal"].to_numpy().astype(np.int64))
        sent.append(table["sent_ts"].cast(pa.int64()).to_numpy())
        # Ids are looked up a day at a time, so that a year of them is never in memory.
        hit = pc.is_in(table["message_id"], value_set=refused)
        is_refused.append(hit.to_numpy().astype(np.float64))
    person, at = (np.concatenate([np.zeros(0, np.int64), *parts]) for parts in (ordinals, sent))
    label = np.concatenate([np.zeros(0), *is_refused])
    order = np.lexsort((at, person))
    person, at, label = person[order], at[order], label[order]
    last = ((end - date(1970, 1, 1)).days + 1) * _DAY_US
    return KeptPushes(np.log1p(still_felt(person, at)), (last - at) / _DAY_US, label, (*commits, *receipts))


def read_refusals(lake: Lake, *, ds: str, cutoff: str) -> tuple[pa.Array, list[Commit]]:
    """Return the messages of (cutoff, ds] refused by the end of ds, and the commits read."""
    # A plan's messages go out up to two days after its own day.
    first = (date.fromisoformat(cutoff) - timedelta(days=2)).isoformat()
    until = ((date.fromisoformat(ds) - date(1970, 1, 1)).days + 1) * _DAY_US
    ids: list[pa.Array] = []
    commits: list[Commit] = []
    for leaf in lake.partitions("push_receipts"):
        # What the worker writes are its own outcomes: no person's answers.
        if not first <= leaf["ds"] <= ds or leaf["source"] == "worker":
            continue
        commit = lake.head("push_receipts", **leaf)
        if commit is None:
            continue
        commits.append(commit)
        table = lake.read(commit, ["message_id", "kind", "receipt_ts"])
        known = pc.less(table["receipt_ts"].cast(pa.int64()), until)
        ids += table.filter(pc.and_(known, pc.equal(table["kind"], REFUSED)))["message_id"].chunks
    return pc.unique(pa.chunked_array(ids, pa.string())), commits


def still_felt(person: Ints, at: Ints) -> Floats:
    """Return the messages of earlier days that are still felt at each push, (m,).

    Args:
        person: whose, ascending, (m,).
        at: when it was sent, in microseconds, ascending for each person, (m,).
    """
    felt, day = np.zeros(len(at)), at // _DAY_US
    now, back = np.arange(len(at)), 0
    while len(now):
        back += 1
        now = now[now >= back]
        before = now - back
        # As features do, a push counts by its age in the middle of the day that is planned.
        age = day[now] - at[before] / _DAY_US
        near = (person[before] == person[now]) & (age < FELT_DAYS)
        now, before, age = now[near], before[near], age[near]
        felt[now] += np.where(day[before] < day[now], np.exp(-(age + 0.5) / TIRED_DAYS), 0.0)
    return felt


@dataclass(frozen=True)
class Refusing:
    """How often somebody rested refuses a push, and how much oftener the tired do."""

    refuses: float
    more: RateEffect
    evidence: dict[str, Any]

    @property
    def slope(self) -> float:
        """Return by which power of (1 + messages still felt) refusals grow: never less with more."""
        return max(0.0, self.more.leaning)


def learn_refusing(kept: KeptPushes, hours: float) -> Refusing:
    """Return what the kept pushes say of refusals.

    `hours` is how good their hours were, a mean one's = 1."""
    weight = 0.5 ** (kept.age / HALF_LIFE)
    label = weight * kept.is_refused
    more = conditional(kept.felt, np.log(weight), label, np.zeros(len(weight), np.int64))
    slope = max(0.0, more.leaning)
    exposure = hours * float((weight * np.exp(slope * kept.felt)).sum()) + UNKNOWN
    n = float(label.sum())
    # So many equal refusals would say as much as the weighted ones do.
    effective = n**2 / max(float((weight * label).sum()), 1e-12)
    of_one = n / effective if n else 1.0
    return Refusing(
        n / exposure,
        more,
        {
            "n": int(kept.is_refused.sum()),
            "pushes": len(weight),
            "low": round(of_one * max(0.0, effective**0.5 - 0.98) ** 2 / exposure, 9),
            "high": round(of_one * (effective**0.5 + 0.98) ** 2 / exposure, 9),
        },
    )
