"""An operator's price on refusals: an hour with more looks brings more of them.

Grain: pair (user x campaign) by slot. `fatigue.refusal_opens` says how many opens of its campaign a refusal
costs, beside what `later_costs` takes off. An hour's looks follow the person's curve alone: a category's good
hour turns more looks into opens, and brings no more looks.

Surprise: an hour counts further from the mean hour than its response (`TILT`), so that messages move to
hours with fewer looks, rather than only being fewer.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from angelia.planning.later.fatigue import F64, FINE, I64, Fatigue, LaterCosts, rounded

TILT = 1.6  # how far an hour's looks count from the mean's, of its response's distance


def look_costs(chance: F64, per_refusal: F64, curve: F64) -> F64:
    """Return what the chance of a refusal costs a message of each pair in each slot, (m, h).

    Args:
        chance: that a message is refused at a mean hour, (m,).
        per_refusal: price of a refusal in micro-units, 0 for who pays none, (m,).
        curve: the person's response in each slot, a mean hour's = 1, (m, h).
    """
    return np.asarray((chance * per_refusal)[:, None] * np.maximum(1.0 + TILT * (curve - 1.0), 0.0))


def bears_two(
    fatigue: Fatigue, costs: LaterCosts, worth: F64, pays: npt.NDArray[np.bool_], user: I64, n_users: int
) -> npt.NDArray[np.bool_]:
    """Return who has two messages that would each be worth sending as the night's second, (n,).

    Whoever feels the first one opens the second less and refuses it more. Which one is second is not known
    before the night is solved, so both must bear it.

    Args:
        fatigue: what was learned.
        costs: of each pair's message as the first, by the hour too.
        worth: of it in each slot before costs, 0 where it may not go, (m, h).
        pays: which pairs pay for refusals, (m,).
        user: of each pair, (m,).
        n_users: n.
    """
    more = np.log((2.0 + costs.felt) / (1.0 + costs.felt))
    grows = rounded(np.exp(fatigue.refuses_more * more), FINE)[:, None]
    opened = worth * rounded(np.exp(-fatigue.tires * more), FINE)[:, None]
    by_hour = np.zeros(1) if costs.by_hour is None else costs.by_hour
    second = opened * (1.0 - costs.share[:, None] * grows) - costs.flat[:, None] - by_hour * grows
    bears = pays & ((second > 0) & (worth > 0)).any(axis=1)
    return np.asarray(np.bincount(user[bears], minlength=n_users) >= 2)
