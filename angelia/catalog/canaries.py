"""A person passes or fails a campaign's canary of one night.

Writes one entry of the lake's log `canary_choices`, which workers obey, then the catalog's audit trail.
"""

from __future__ import annotations

import secrets
from datetime import datetime

import pyarrow as pa

from angelia.catalog.documents import Campaign
from angelia.catalog.store import CatalogStore
from angelia.contracts import arrow, dataset
from angelia.errors import InvalidInput
from angelia.lake import Lake


def decide_canary(
    lake: Lake,
    store: CatalogStore,
    campaign: str,
    ds: str,
    action: str,
    *,
    actor: str,
    at: datetime,
    reason: str,
) -> None:
    """Let the rest of a night's people follow (`pass`), or withhold what is left (`fail`).

    Raises:
        NotFound: there is no such campaign.
        InvalidInput: without a reason, or on a branch.
    """
    if not reason.strip():
        raise InvalidInput("a canary is decided with a reason", fix='--reason "opens look as always"')
    if lake.branch != "main":
        raise InvalidInput("canaries are decided on main only", fix="unset ANGELIA_BRANCH")
    assert isinstance(store.get("campaign", campaign).document, Campaign)
    row = {
        "entry_id": secrets.token_hex(8),
        "campaign_id": campaign,
        "night": ds,
        "action": action,
        "at_ts": at,
        "actor": actor,
        "reason": reason,
    }
    table = pa.Table.from_pylist([row], schema=arrow.schema(dataset("canary_choices")))
    # The lake comes first, as with a stop: it is what workers read.
    lake.append_log("canary_choices", table)
    store.record(f"canary {action}", "campaign", campaign, actor=actor, at=at, detail=f"night {ds}: {reason}")
