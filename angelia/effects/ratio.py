"""Sample-ratio mismatch: whether the sides are as large as the hash should have made them.

Where they are not, something other than the hash decided who is measured, and no difference of the night can
be trusted. The p-value holds at every look, so an alarm every night does not cry wolf.
"""

from __future__ import annotations

import math

ALARM = 0.001  # as is usual for this test: an alarm stops people from reading any other figure
_WEIGHT = 100.0  # how many persons' worth the prior says that the share is as configured


def mismatch_p(n_holdout: int, n_treated: int, share: float) -> float:
    """Return an always-valid p-value of `share` of all being held out.

    Source: Lindon, Malek, "Anytime-valid inference for multinomial count data" (NeurIPS 2022), with a beta
    prior about the share: p = 1 / (B(a + h, b + t) / B(a, b) / (share^h (1 - share)^t)), at most 1.
    """
    if not 0 < share < 1:
        wrong = n_holdout if share <= 0 else n_treated
        return 0.0 if wrong else 1.0
    a, b = _WEIGHT * share, _WEIGHT * (1 - share)
    log_evidence = _log_beta(a + n_holdout, b + n_treated) - _log_beta(a, b)
    log_evidence -= n_holdout * math.log(share) + n_treated * math.log1p(-share)
    return math.exp(-max(log_evidence, 0.0))


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
