"""Count how much oftener a material is opened than its campaign's others, by old draws.

Grain: material. Reads user_pushes up to a day, one day at a time; writes nothing. Whoever likes a category is
drawn its materials, so plain rates would praise what only those who like it get: each push counts by one over
the chance of its draw, as if all had been drawn evenly. How far materials differ at all is learned, too, and
each one's difference is shrunk by it. Surprise: pushes whose draw has no known chance say nothing.

Source: Horvitz & Thompson (1952), eq. 8, for the weights; Morris (1983), Parametric empirical Bayes
    inference, eq. 1.17, for the shrinkage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from angelia.lake import Commit, Lake
from models.answering.older import YEAR
from models.taste import LOOKS_HALF_LIFE

Floats = npt.NDArray[np.float64]

MOST_PUSHES = 2_000_000  # of more, days are left out evenly
MAX_INVERSE = 20.0  # one lucky draw must not be a material's whole standing
LEAST_OPENS = 5.0  # fewer tell nothing of a rate's logarithm
_COLUMNS = ["kind", "campaign_id", "material_id", "material_propensity"]


@dataclass(frozen=True)
class MaterialStanding:
    """What a year says of materials, in log-odds.

    Attributes:
        effect: of each known material, shrunk. variance: what is unknown of it. spread: variance of effects
            among materials, so what is unknown of a new one.
    """

    effect: Mapping[str, float]
    variance: Mapping[str, float]
    spread: float
    inputs: tuple[Commit, ...] = ()

    def effects(self, materials: Sequence[str]) -> Floats:
        """Return the effects of materials, (m,); 0 for new ones."""
        return np.array([self.effect.get(name, 0.0) for name in materials], np.float64)

    def variances(self, materials: Sequence[str]) -> Floats:
        """Return what is unknown of materials' effects, (m,)."""
        return np.array([self.variance.get(name, self.spread) for name in materials], np.float64)


def read_standing(lake: Lake, *, last: str, most: int = MOST_PUSHES) -> MaterialStanding:
    """Return what the pushes of the year up to a day say of materials."""
    end = date.fromisoformat(last)
    commits = [
        (back, commit)
        for back in range(YEAR)
        if (commit := lake.head("user_pushes", ds=(end - timedelta(days=back)).isoformat())) is not None
    ]
    stride = max(1, -(-sum(commit.rows for _, commit in commits) // most))
    commits = commits[::stride]
    pairs: dict[tuple[str, str], Floats] = {}
    for back, commit in commits:
        table = lake.read(commit, _COLUMNS)
        # A propensity of 0 is no draw.
        table = table.filter(pc.greater(table["material_propensity"], 0.0))
        weight = np.minimum(1.0 / table["material_propensity"].to_numpy(), MAX_INVERSE)
        weight *= 0.5 ** (back / LOOKS_HALF_LIFE)
        table = table.append_column("weight", pa.array(weight)).append_column("square", pa.array(weight**2))
        sums = table.group_by(["campaign_id", "material_id", "kind"])
        for row in sums.aggregate([("weight", "sum"), ("square", "sum")]).to_pylist():
            total = pairs.setdefault((row["campaign_id"], row["material_id"]), np.zeros(3))
            if row["kind"] == "sent":
                total[0] += row["weight_sum"]
            else:
                total[1:] += row["weight_sum"], row["square_sum"]
    return standing_of(pairs, tuple(commit for _, commit in commits))


def standing_of(pairs: Mapping[tuple[str, str], Floats], inputs: tuple[Commit, ...] = ()) -> MaterialStanding:
    """Return the standing of materials from the counts of campaigns and materials.

    Each has weighted pushes, weighted opens and the opens' squared weights, (3,).
    """
    of_campaign: dict[str, Floats] = {}
    for (campaign, _), total in pairs.items():
        of_campaign[campaign] = of_campaign.get(campaign, 0.0) + total
    evidence: dict[str, list[tuple[float, float]]] = {}
    for (campaign, material), (sent, opened, square) in pairs.items():
        # So many opens of equal weight would say as much.
        n = opened**2 / square if square else 0.0
        if n >= LEAST_OPENS and sent > 0.0:
            usual = of_campaign[campaign][1] / of_campaign[campaign][0]
            evidence.setdefault(material, []).append((n, float(np.log(opened / sent / usual))))
    if not evidence:
        return MaterialStanding({}, {}, 0.0, inputs)
    names = sorted(evidence)
    n = np.array([sum(k for k, _ in evidence[name]) for name in names])
    raw = np.array([sum(k * effect for k, effect in evidence[name]) for name in names]) / n
    # Chance alone makes the weighted squares add up to one a material.
    spread = max(0.0, float((n * raw**2).sum() - len(n)) / float(n.sum()))
    shrunk, unknown = raw * spread * n / (1.0 + spread * n), spread / (1.0 + spread * n)
    return MaterialStanding(
        dict(zip(names, shrunk.tolist(), strict=True)),
        dict(zip(names, unknown.tolist(), strict=True)),
        spread,
        inputs,
    )
