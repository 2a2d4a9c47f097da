"""Assign people to experiment arms and holdouts by salted hash buckets.

They are stable over days, shards and attempts, and recomputable by anyone who knows the salt.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from angelia.contracts.ids import U64, uniform


def buckets(keys: U64, salt: str) -> npt.NDArray[np.float64]:
    """Return each user's place on [0, 100) under a salt, shape (n,).

    `buckets(...) < share_pct` is the held-out or treated share.
    """
    return uniform(keys, "bucket", salt) * 100.0


def assign_arms(keys: U64, salt: str, shares_pct: Sequence[float]) -> npt.NDArray[np.int64]:
    """Return each user's arm number, shape (n,).

    Shares are cut from one line in declared order, so growing the last arm moves nobody else. Source: hash
    bucketing as in Kohavi, Tang, Xu: Trustworthy Online Controlled Experiments (2020), ch. 4.
    """
    edges = np.cumsum(np.asarray(shares_pct, dtype=np.float64))
    return np.minimum(np.searchsorted(edges, buckets(keys, salt), side="right"), len(edges) - 1).astype(
        np.int64
    )
