"""Learn what messages still felt do to opens and to refusals.

Grain: push. Reads push_receipts (refusals); writes nothing. No leakage: what a push's person still felt is as
    of the day before it.

*Tiring* compares each person with themselves: given how many of their pushes a person opened, which ones they
were says how opens fall with messages still felt. Who is sent much because they open much therefore enters
with nothing. *Refusing* is counted per push, weighted by how likely its hour is looked at. Both lean to zero
by a prior: little evidence gives a price near zero.

Source: Hausman, Hall, Griliches: Econometric models for count data (1984), the conditional likelihood of a
Poisson model with fixed effects; its variance is clustered by person.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from angelia.lake import Commit, Lake
from models.behaviour import TIRED_DAYS
from models.dataset import Examples

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

REFUSED = "unsubscribed"
SPREAD = 0.5  # standard deviation of the effects before anything is known
UNKNOWN = 1000.0  # pushes without a refusal that stand before the counted ones
STEPS = 50
_DAY_US = 86_400_000_000


@dataclass(frozen=True)
class RateEffect:
    """An effect on a log rate: as counted, its standard error, and leaning to zero."""

    counted: float
    error: float
    leaning: float
    n: int

    def as_dict(self) -> dict[str, float | None]:
        """Return it for the model's files, with a 95 % interval; null where nothing tells."""
        is_known = np.isfinite(self.error)
        return {
            "counted": round(self.counted, 5),
            "low": round(self.counted - 1.96 * self.error, 5) if is_known else None,
            "high": round(self.counted + 1.96 * self.error, 5) if is_known else None,
            "leaning": round(self.leaning, 5),
            "n": self.n,
        }


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


def learn(examples: Examples, refusals: pa.Array) -> dict[str, Any]:
    """Return the figures of fatigue: those that the plan prices, and `evidence` for the card."""
    rows = examples.rows
    felt = rows["felt"].to_numpy().astype(np.float64)
    person = rows["ordinal"].to_numpy().astype(np.int64)
    is_refused = np.asarray(
        pc.is_in(rows["message_id"], value_set=refusals).to_numpy(zero_copy_only=False)
    ).astype(np.float64)
    tires = conditional(felt, examples.offset, examples.label, person)
    more = conditional(felt, examples.offset, is_refused, np.zeros(len(person), np.int64))
    slope = max(0.0, more.leaning)
    exposure = float(np.exp(examples.offset + slope * felt).sum()) + UNKNOWN
    n = float(is_refused.sum())
    days = max(len(np.unique(rows["sent_us"].to_numpy() // _DAY_US)), 1)
    return {
        "tires": round(max(0.0, -tires.leaning), 6),
        "refuses": round(n / exposure, 9),
        "refuses_more": round(slope, 6),
        "rate": round(len(person) / max(len(np.unique(person)) * days, 1), 6),
        "tired_days": TIRED_DAYS,
        "evidence": {
            "tires": tires.as_dict(),
            "refuses_more": more.as_dict(),
            "refuses": {
                "n": int(n),
                "pushes": len(person),
                "low": round(max(0.0, n**0.5 - 0.98) ** 2 / exposure, 9),
                "high": round((n**0.5 + 0.98) ** 2 / exposure, 9),
            },
        },
    }


def conditional(x: Floats, offset: Floats, label: Floats, group: Ints) -> RateEffect:
    """Return the effect of x on the log rate of labels, given each group's number of them.

    Within a group, a label falls on a row in proportion to exp(offset + effect * x): the group's own rate
    cancels out. All arguments (n,).
    """
    numbers, place = np.unique(group, return_inverse=True)
    counts = np.bincount(place, weights=label, minlength=len(numbers))
    # Who never did, or has one row only, says nothing about the effect.
    size = np.bincount(place, minlength=len(numbers))
    tells = ((counts > 0) & (size > 1))[place]
    place, x, offset, label = place[tells], x[tells], offset[tells], label[tells]
    if not len(x) or np.ptp(x) == 0:
        return RateEffect(0.0, float("inf"), 0.0, 0)

    def moments(effect: float) -> tuple[Floats, Floats]:
        """Return each group's mean and variance of x under the model."""
        weight = np.exp(offset + effect * x)
        total, first, second = (
            np.bincount(place, weights=weight * power, minlength=len(numbers))
            for power in (np.ones(len(x)), x, x**2)
        )
        mean = np.divide(first, total, out=np.zeros(len(numbers)), where=total > 0)
        return mean, np.divide(second, total, out=np.zeros(len(numbers)), where=total > 0) - mean**2

    scored = np.bincount(place, weights=label * x, minlength=len(numbers))

    def solved(prior: float) -> float:
        effect = 0.0
        for _ in range(STEPS):
            mean, variance = moments(effect)
            bend = float((counts * variance).sum()) + prior
            step = (float((scored - counts * mean).sum()) - prior * effect) / max(bend, 1e-12)
            effect = float(np.clip(effect + np.clip(step, -1.0, 1.0), -10.0, 10.0))
            if abs(step) < 1e-9:
                break
        return effect

    counted = solved(0.0)
    mean, variance = moments(counted)
    bend = float((counts * variance).sum())
    # Of few people the clustered variance is too small: the model's own is the least.
    spread = max(float(((scored - counts * mean) ** 2).sum()) if len(numbers) > 1 else bend, bend)
    error = spread**0.5 / bend if bend > 0 else float("inf")
    # The prior's weight is set against the clustered variance, not against the model's own.
    prior = bend * (error / SPREAD) ** 2 if np.isfinite(error) else float("inf")
    leaning = solved(prior) if np.isfinite(prior) else 0.0
    return RateEffect(counted, error, leaning, int(label.sum()))
