"""Who is in a campaign's canary: a hash of person, campaign and night.

Pure; plan and worker ask the same function. The salt is the campaign and the night, so nobody goes first
every night, and no order enters.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from angelia.contracts.ids import U64, uniform


def in_canary(keys: U64, campaign_id: str, ds: str, share_pct: float) -> npt.NDArray[np.bool_]:
    """Return who goes first, (n,); `keys` are `user_keys`."""
    return np.asarray(uniform(keys, "canary", campaign_id, ds) * 100.0 < share_pct)
