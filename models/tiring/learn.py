"""Learn what messages still felt do to opens and to refusals.

Grain: push. Reads training examples (opens) and all kept pushes (refusals); writes nothing. No leakage: what
a push's person still felt is as of the day before it.

*Tiring* compares each person with themselves: given how many of their pushes a person opened, which ones they
were says how opens fall with messages still felt. Who is sent much because they open much therefore enters
with nothing. *Refusing* is counted over everybody's pushes of a year. Both lean to zero by a prior: little
evidence gives a price near zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.behaviour import TIRED_DAYS
from models.dataset import Examples
from models.tiring.refusing import KeptPushes, learn_refusing
from models.tiring.within import conditional

_DAY_US = 86_400_000_000


def learn(examples: Examples, kept: KeptPushes) -> dict[str, Any]:
    """Return the figures of fatigue: those that the plan prices, and `evidence` for the card."""
    rows = examples.rows
    felt = rows["felt"].to_numpy().astype(np.float64)
    person = rows["ordinal"].to_numpy().astype(np.int64)
    tires = conditional(felt, examples.offset, examples.label, person)
    refusing = learn_refusing(kept, float(np.exp(examples.offset).mean()))
    days = max(len(np.unique(rows["sent_us"].to_numpy() // _DAY_US)), 1)
    return {
        "tires": round(max(0.0, -tires.leaning), 6),
        "refuses": round(refusing.refuses, 9),
        "refuses_more": round(refusing.slope, 6),
        "rate": round(len(person) / max(len(np.unique(person)) * days, 1), 6),
        "tired_days": TIRED_DAYS,
        "evidence": {
            "tires": tires.as_dict(),
            "refuses_more": refusing.more.as_dict(),
            "refuses": refusing.evidence,
        },
    }
